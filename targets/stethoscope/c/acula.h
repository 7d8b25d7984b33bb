/* Acula: from PCM to an embedding and the logits of all tasks, on a microcontroller.
 *
 *     static acula_state_t state;
 *     acula_result_t result;
 *     acula_init(&state);
 *     for (;;) {
 *         taken = acula_push_pcm(&state, samples, count);
 *         if (acula_poll(&state, &result) == ACULA_OK && result.whole) { use(&result); }
 *     }
 *
 * No memory but the caller's state is used, nothing recurses, and several states may run at once.
 * Research software, not a medical device.
 */
#ifndef ACULA_H
#define ACULA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acula_config.h"
#include "acula_frontend.h"
#include "acula_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ACULA_OK = 0,
    ACULA_WAIT = 1,          /* the hop is not complete yet: push more samples */
    ACULA_BAD_CONSTANTS = 2, /* selftest: a constant in flash has changed */
    ACULA_BAD_RESULT = 3,    /* selftest: the golden clip gave another result */
    ACULA_BAD_HEAD = 4,      /* the head's bytes are damaged, cut, or not aligned to 4 bytes */
    ACULA_FOREIGN_HEAD = 5   /* the head was made for another model */
} acula_status_t;

/* Steps of the INT8 grids: real = ACULA_..._SCALE * (q - ACULA_..._ZERO). `probabilities` are of this clip, in
 * 32768ths: sigmoid, or softmax within the task, of the logits divided by the task's temperature, which was
 * frozen on validation recordings. */
typedef struct {
    int8_t embedding[ACULA_EMBEDDING_DIM];
    int8_t logits[ACULA_N_LOGITS];
    uint16_t probabilities[ACULA_N_LOGITS];
    int32_t hops; /* of this clip that were heard, of ACULA_HOPS */
    bool whole;   /* all of them */
} acula_result_t;

/* What a logit speaks for; the logits of a task stand together. */
typedef struct {
    const char *task;
    const char *label;
    uint16_t first; /* logit of the task's first class */
    uint16_t count; /* logits of the task; 1: a sigmoid */
} acula_label_t;

extern const acula_label_t acula_labels[ACULA_N_LOGITS];

typedef enum {
    ACULA_NEGATIVE = 0,
    ACULA_POSITIVE = 1,
    ACULA_ABSTAIN = 2,
    ACULA_NO_RULE = 3 /* of this logit */
} acula_decision_t;

/* What is said of a recording: `sum` of one logit's steps over its `clips` whole clips (1 or more, 65536 at
 * most), by the rule that was frozen on validation recordings; temperature and abstention band are in it. */
acula_decision_t acula_decide(int32_t logit, int32_t sum, int32_t clips);

/* What the network works in: maps, sums over the clip, and how many hops they hold. */
typedef struct {
    union {
        int32_t aligned;
        int8_t bytes[ACULA_ARENA_BYTES];
    } arena;
    int32_t sums[ACULA_SUMS];
    int32_t hops;
} acula_memory_t;

/* All that a stream of sound needs. Its fields are the library's own. */
typedef struct {
    acula_memory_t memory;
    acula_frontend_t frontend;
    acula_weights_t head[ACULA_HEAD_LAYERS];
    int32_t head_biases[ACULA_HEAD_BIASES];
    int32_t filled; /* samples in the front end's window */
    int32_t frame;  /* frames of this hop that are done */
    int32_t heard;  /* samples of this clip */
} acula_state_t;

/* Start anew, with the head that was built in. */
void acula_init(acula_state_t *state);

/* Forget the clip that has begun, and keep the head. */
void acula_restart(acula_state_t *state);

/* Hear samples at ACULA_SAMPLE_RATE_HZ. Returns how many were taken: less than `count` where a hop became
 * complete. While it waits for acula_poll nothing is taken; what the caller drops then is lost. */
size_t acula_push_pcm(acula_state_t *state, const int16_t *pcm, size_t count);

/* ACULA_OK, and the result of the clip so far, once for each complete hop of ACULA_HOP_FRAMES frames; else
 * ACULA_WAIT. The network runs in here. After ACULA_CLIP_SAMPLES samples the next clip begins. */
acula_status_t acula_poll(acula_state_t *state, acula_result_t *result);

/* Check the constants in flash, then run the built-in golden sound. The state is started anew. */
acula_status_t acula_selftest(acula_state_t *state);

/* Use the last layers of a head.bin (on-device distillation). `bytes` must stay in place, aligned to 4 bytes,
 * until acula_init. A head that is refused changes nothing. The signature is not looked at. */
acula_status_t acula_load_head(acula_state_t *state, const uint8_t *bytes, size_t size);

/* CRC-32 (IEEE 802.3) of bytes, going on from the one before; 0 at first. */
uint32_t acula_crc32(uint32_t crc, const uint8_t *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
