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

/* Periodic Hann window over full scale. */
extern const float acula_window[ACULA_WINDOW_SAMPLES];
/* exp(-2 pi i k / n_fft): cosine, then minus sine, for k from 0 to 3/4 n_fft. */
extern const float acula_roots[ACULA_ROOTS];
/* Order in which pairs of samples are read. */
extern const uint16_t acula_order[ACULA_N_FFT / 2];
extern const acula_band_t acula_bands[ACULA_N_MELS];
extern const float acula_band_weights[ACULA_BAND_WEIGHTS];
/* From the logarithm to steps above INT8_MIN: x * gain + offset. */
extern const float acula_gains[ACULA_N_MELS];
extern const float acula_offsets[ACULA_N_MELS];

#endif
