/* The network: constants, and one step for each layer. */
#ifndef ACULA_NETWORK_H
#define ACULA_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "acula.h"

typedef struct {
    const void *bytes;
    size_t size;
} acula_constant_t;

/* Where a layer of a head.bin may stand; words as in that file. */
typedef struct {
    uint32_t kind_and_shape[5];
    uint32_t grids_and_clamp[6];
    int32_t channels;
    int32_t weights;
    int32_t biases;
    bool folded; /* its biases hold what the input's zero point adds */
} acula_site_t;

extern const int32_t acula_head_steps[ACULA_HEAD_LAYERS];
extern const acula_site_t acula_head_sites[ACULA_HEAD_LAYERS];
extern const acula_weights_t acula_network_weights[ACULA_STEPS];
extern const acula_constant_t acula_network_constants[];
extern const int32_t acula_network_constant_count;

/* Bytes at an offset of the arena that stay from hop to hop: the last `kept` of them become the first ones,
 * and the next hop's `fresh` bytes come behind. At first they are `zero`. */
typedef struct {
    int32_t offset;
    int32_t kept;
    int32_t fresh;
    int8_t zero;
} acula_past_t;

extern const int32_t acula_past_count;
extern const acula_past_t acula_pasts[];

/* Layer `step` of 0 to ACULA_STEPS - 1, in that order; `head` are the weights of the last layers. */
void acula_network_step(int32_t step, const acula_weights_t *head, acula_memory_t *memory);

#endif
