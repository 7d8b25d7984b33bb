/* head.bin: the last layers as a device has learned them. Little-endian; all fields are 4 bytes wide. */
#include <string.h>

#include "acula.h"
#include "acula_network.h"
#include "acula_state.h"

#define WORD 4u
#define HEADER_WORDS 5u
#define START_WORDS 9u
#define RECORD_WORDS 24u
#define MAGIC 0x44484541u /* "AEHD" */
#define VERSION 1u
#define SIGNATURE_BYTES 64u
#define PLACES 12u /* word of a record with the offset and count of the weights; five more pairs follow */
#define MOST_SUM 0x40000000u

enum { KIND_ADD = 4 };
enum { WEIGHTS, WEIGHT_SCALES, BIASES, FLOAT_BIASES, MULTIPLIERS, SHIFTS, BLOCKS };

typedef struct {
    const uint8_t *payload;
    uint32_t size;
    uint32_t layers;
} head_t;

static uint32_t word_at(const uint8_t *bytes, uint32_t index)
{
    uint32_t word;
    (void)memcpy(&word, bytes + (index * WORD), sizeof word);
    return word;
}

static uint32_t record_word(const head_t *head, uint32_t layer, uint32_t word)
{
    return word_at(head->payload, START_WORDS + (layer * RECORD_WORDS) + word);
}

/* The envelope: magic, version, sizes and checksum. */
static bool open_head(const uint8_t *bytes, size_t size, head_t *head)
{
    if (((uintptr_t)bytes % WORD) != 0u || size < (HEADER_WORDS + START_WORDS) * WORD) {
        return false;
    }
    const uint32_t payload = word_at(bytes, 2);
    const uint32_t signature = word_at(bytes, 4);
    const size_t rest = size - (HEADER_WORDS * WORD);
    if ((word_at(bytes, 0) != MAGIC) || (word_at(bytes, 1) != VERSION) ||
        ((signature != 0u) && (signature != SIGNATURE_BYTES)) || (payload > rest) ||
        ((rest - payload) != signature) || (payload < START_WORDS * WORD)) {
        return false;
    }
    head->payload = bytes + (HEADER_WORDS * WORD);
    head->size = payload;
    head->layers = word_at(head->payload, START_WORDS - 1u);
    return (head->layers > 0u) && (head->layers <= ((payload / WORD) - START_WORDS) / RECORD_WORDS) &&
           (acula_crc32(0, head->payload, payload) == word_at(bytes, 3));
}

/* Kind, shape, grids and clamp of a layer are those of the model. */
static bool same_site(const head_t *head, uint32_t layer, const acula_site_t *site)
{
    for (uint32_t i = 0; i < 5u; ++i) {
        if (record_word(head, layer, i) != site->kind_and_shape[i]) {
            return false;
        }
    }
    for (uint32_t i = 0; i < 6u; ++i) {
        if (record_word(head, layer, 6u + i) != site->grids_and_clamp[i]) {
            return false;
        }
    }
    return true;
}

/* A block of the layer with `count` numbers of `width` bytes; null if there is none such. */
static const void *block(const head_t *head, uint32_t layer, uint32_t which, uint32_t count, uint32_t width)
{
    const uint32_t offset = record_word(head, layer, PLACES + (2u * which));
    const uint32_t found = record_word(head, layer, PLACES + (2u * which) + 1u);
    if ((found != count) || ((offset % WORD) != 0u) || (offset > head->size) ||
        (count > (head->size - offset) / width)) {
        return NULL;
    }
    return head->payload + offset;
}

/* The input's zero point goes into the bias, as the kernels want it (`biases` may be null); false if a sum
 * could outgrow them. */
static bool fold(const acula_site_t *site, const acula_weights_t *weights, const int32_t *given, int32_t *biases)
{
    const bool by_columns = site->kind_and_shape[0] == 2u; /* depthwise: the channels of a tap together */
    const int32_t channels = site->channels;
    const int32_t size = site->weights / channels;
    for (int32_t channel = 0; channel < channels; ++channel) {
        int64_t sum = 0;
        int64_t most = 0;
        bool narrow = true; /* as TFLite's weights are; the kernels rely on it */
        for (int32_t i = 0; i < size; ++i) {
            const int32_t at = by_columns ? ((i * channels) + channel) : ((channel * size) + i);
            const int32_t weight = weights->weights[at];
            narrow = narrow && (weight > INT8_MIN);
            sum += weight;
            most += (weight < 0) ? -weight : weight;
        }
        const int64_t own = (given == NULL) ? 0 : (int64_t)given[channel];
        const int64_t whole = own - ((int64_t)(int32_t)site->grids_and_clamp[1] * sum);
        const int64_t largest = ((whole < 0) ? -whole : whole) + (128 * most);
        const int32_t shift = weights->shifts[channel];
        if (!narrow || (shift < -31) || (shift > 29) || (weights->multipliers[channel] < 0) ||
            (largest >= ((int64_t)MOST_SUM >> ((shift > 0) ? shift : 0)))) {
            return false;
        }
        if (biases != NULL) {
            biases[channel] = (int32_t)(site->folded ? whole : own);
        }
    }
    return true;
}

static bool read_layer(const head_t *head, uint32_t layer, const acula_site_t *site, int32_t *biases,
                       acula_weights_t *weights)
{
    const bool adds = site->kind_and_shape[0] == (uint32_t)KIND_ADD;
    const uint32_t factors = adds ? 3u : (uint32_t)site->channels;
    weights->weights = block(head, layer, WEIGHTS, (uint32_t)site->weights, 1);
    weights->multipliers = block(head, layer, MULTIPLIERS, factors, WORD);
    weights->shifts = block(head, layer, SHIFTS, factors, WORD);
    weights->zero = (int32_t)record_word(head, layer, 5);
    weights->biases = biases;
    if ((weights->weights == NULL) || (weights->multipliers == NULL) || (weights->shifts == NULL)) {
        return false;
    }
    if (adds) {
        weights->biases = NULL;
        return true;
    }
    const uint32_t count = record_word(head, layer, PLACES + (2u * BIASES) + 1u);
    const int32_t *given = (count == 0u) ? NULL : block(head, layer, BIASES, (uint32_t)site->channels, WORD);
    return ((count == 0u) || (given != NULL)) && fold(site, weights, given, biases);
}

/* Every layer, into `weights` and `biases`; with neither, only whether that would do. */
static bool read_layers(const head_t *head, acula_weights_t *weights, int32_t *biases)
{
    const uint32_t skipped = (uint32_t)ACULA_HEAD_LAYERS - head->layers;
    for (uint32_t layer = 0; layer < head->layers; ++layer) {
        const acula_site_t *site = &acula_head_sites[skipped + layer];
        acula_weights_t found;
        if (!read_layer(head, layer, site, biases, &found)) {
            return false;
        }
        if (biases != NULL) {
            weights[skipped + layer] = found;
            biases += site->biases;
        }
    }
    return true;
}

acula_status_t acula_load_head(acula_state_t *state, const uint8_t *bytes, size_t size)
{
    head_t head;
    if (!open_head(bytes, size, &head)) {
        return ACULA_BAD_HEAD;
    }
    if (head.layers > (uint32_t)ACULA_HEAD_LAYERS) {
        return ACULA_FOREIGN_HEAD;
    }
    const uint32_t skipped = (uint32_t)ACULA_HEAD_LAYERS - head.layers;
    for (uint32_t layer = 0; layer < head.layers; ++layer) {
        if (!same_site(&head, layer, &acula_head_sites[skipped + layer])) {
            return ACULA_FOREIGN_HEAD;
        }
    }
    if (!read_layers(&head, NULL, NULL)) {
        return ACULA_BAD_HEAD;
    }
    acula_built_in_head(state);
    (void)read_layers(&head, state->head, state->head_biases);
    return ACULA_OK;
}
