/* Constants of the front end, made from the audio contract. */
#ifndef ACULA_TABLES_H
#define ACULA_TABLES_H

#include <stdint.h>

#include "acula_config.h"

typedef struct {
    uint16_t first; /* bin of the first weight */
    uint16_t count;
    uint16_t weights; /* place of the first one in acula_band_weights */
} acula_band_t;

/* For each pair of samples, in the transform's order: the next value of the window w and the step to it, twice.
 * w[n+1] x[n+1] - w[n] x[n] = w[n+1] (x[n+1] - x[n]) + (w[n+1] - w[n]) x[n]; w is a periodic Hann window over full
 * scale, and all is zero where it has ended. */
extern const float acula_window[2 * ACULA_N_FFT];
/* exp(-2 pi i k / n_fft): cosine, then minus sine, for k from 0 to 3/4 n_fft. */
extern const float acula_roots[ACULA_ROOTS];
/* Order in which pairs of samples are read. */
extern const uint16_t acula_order[ACULA_N_FFT / 2];
extern const acula_band_t acula_bands[ACULA_N_MELS];
/* Over the strength of the differences in each bin, and the band's mean. */
extern const float acula_band_weights[ACULA_BAND_WEIGHTS];
/* Least power of each band, over its mean; steps of its logarithm from ACULA_FEATURES_ZERO on. */
extern const float acula_floors[ACULA_N_MELS];
extern const float acula_gains[ACULA_N_MELS];

#endif
