/* From PCM to INT8 log-mel features, one frame for every hop.
 *
 * Single precision; the sum and product of two numbers are never fused (-ffp-contract=off), so that every
 * core and the golden vectors agree bit by bit.
 */
#ifndef ACULA_FRONTEND_H
#define ACULA_FRONTEND_H

#include <stdint.h>

#include "acula_config.h"

typedef struct {
    int16_t samples[ACULA_WINDOW_SAMPLES + 2]; /* the newest ones, oldest first; the last two count nothing */
    float spectrum[ACULA_N_FFT];
} acula_frontend_t;

/* Features of the window in `samples`: mel band m goes to features[m * ACULA_MEL_STEP + frame *
 * ACULA_FRAME_STEP]. */
void acula_frontend_frame(acula_frontend_t *frontend, int32_t frame, int8_t *features);

#endif
