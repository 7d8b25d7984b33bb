#include <string.h>

#include "acula.h"
#include "acula_golden.h"
#include "acula_network.h"

static bool constants_are_whole(void)
{
    uint32_t crc = 0;
    for (int32_t i = 0; i < acula_network_constant_count; ++i) {
        const acula_constant_t *constant = &acula_network_constants[i];
        crc = acula_crc32(crc, (const uint8_t *)constant->bytes, constant->size);
    }
    return crc == ACULA_WEIGHTS_CRC;
}

acula_status_t acula_selftest(acula_state_t *state)
{
    acula_result_t result;
    acula_init(state);
    if (!constants_are_whole()) {
        return ACULA_BAD_CONSTANTS;
    }
    /* The excerpt over and over until the clip is full. */
    result.whole = false;
    size_t at = 0;
    while (!result.whole) {
        at += acula_push_pcm(state, acula_golden_pcm + at, ACULA_GOLDEN_SAMPLES - at);
        at = (at == ACULA_GOLDEN_SAMPLES) ? 0 : at;
        (void)acula_poll(state, &result);
    }
    acula_init(state);
    if ((memcmp(result.embedding, acula_golden_embedding, sizeof result.embedding) != 0) ||
        (memcmp(result.logits, acula_golden_logits, sizeof result.logits) != 0)) {
        return ACULA_BAD_RESULT;
    }
    return ACULA_OK;
}
