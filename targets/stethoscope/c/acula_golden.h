/* A real sound and what the reference runtime makes of it. */
#ifndef ACULA_GOLDEN_H
#define ACULA_GOLDEN_H

#include <stdint.h>

#include "acula_config.h"

extern const int16_t acula_golden_pcm[ACULA_GOLDEN_SAMPLES];
extern const int8_t acula_golden_embedding[ACULA_EMBEDDING_DIM];
extern const int8_t acula_golden_logits[ACULA_N_LOGITS];

#endif
