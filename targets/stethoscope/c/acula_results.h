/* Logits to probabilities, in integers. */
#ifndef ACULA_RESULTS_H
#define ACULA_RESULTS_H

#include <stdint.h>

#include "acula_config.h"

/* 32768 * 2^-(i / 256), for i from 0 to 256. */
extern const uint32_t acula_powers[257];
/* How often one step of a logit, at its task's temperature, halves an exponential; in
 * parts of 2^20. */
extern const uint32_t acula_halvings[ACULA_N_LOGITS];

void acula_probabilities(const int8_t *logits, uint16_t *probabilities);

#endif
