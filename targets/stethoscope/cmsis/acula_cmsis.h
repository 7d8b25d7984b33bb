/* Convolutions by CMSIS-NN. Unlike those of acula_kernels.h, biases do not hold what the input's zero point
 * adds to a sum, rows of weights are not filled up, and made and given lie apart. */
#ifndef ACULA_CMSIS_H
#define ACULA_CMSIS_H

#include "acula_kernels.h"

/* weights (out_channels, kernel rows, kernel columns, in_channels); `scratch` as the memory plan has it. */
void acula_cmsis_convolution(const acula_window_t *shape, const acula_weights_t *weights, int8_t *scratch,
                             const int8_t *given, int8_t *made);

/* weights (kernel rows, kernel columns, channels). */
void acula_cmsis_depthwise(const acula_window_t *shape, const acula_weights_t *weights, int8_t *scratch,
                           const int8_t *given, int8_t *made);

#endif
