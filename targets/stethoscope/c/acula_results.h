/* Logits to probabilities, in integers. */
#ifndef ACULA_RESULTS_H
#define ACULA_RESULTS_H

#include <stdint.h>

#include "acula_config.h"

/* 32768 / (1 + exp(-logit)) for each step from INT8_MIN on. */
extern const uint16_t acula_sigmoids[256];
/* 32768 exp(-d) for a logit d steps below the largest of its task. */
extern const uint16_t acula_exponentials[256];

void acula_probabilities(const int8_t *logits, uint16_t *probabilities);

#endif
