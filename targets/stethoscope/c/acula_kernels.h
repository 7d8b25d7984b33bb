/* INT8 layers of an Acula network, with the results of TFLite's reference kernels bit by bit.
 *
 * A map is (height, width, channels) bytes. A real factor is multiplier * 2^(shift - 31). Biases hold what
 * the input's zero point adds to every sum.
 * Where made and given overlap, the memory plan has chosen `backwards` so that nothing is overwritten
 * before it is read.
 */
#ifndef ACULA_KERNELS_H
#define ACULA_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* Rows and columns of a kernel at most. */
#define ACULA_MAX_SIDE 5
#define ACULA_MAX_TAPS (ACULA_MAX_SIDE * ACULA_MAX_SIDE)
/* Bits that an addition works with more (TFLite, add.cc). */
#define ACULA_ADD_LEFT 20
/* Bytes of the patches that are gathered at once for a convolution wider than one pixel. */
#define ACULA_PATCHES 128

typedef struct {
    const int8_t *weights;
    const int32_t *biases;
    const int32_t *multipliers;
    const int32_t *shifts;
    int32_t zero; /* zero point of an addition's second input */
} acula_weights_t;

typedef struct {
    int32_t in_height;
    int32_t in_width;
    int32_t in_channels;
    int32_t out_height;
    int32_t out_width;
    int32_t out_channels;
    int32_t kernel_height;
    int32_t kernel_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t pad_height;
    int32_t pad_width;
    int32_t row_bytes;  /* of one output channel's weights */
    int32_t line_bytes; /* of one kernel row in it, a multiple of 4 */
    int32_t in_zero;
    int32_t out_zero;
    int32_t low;
    int32_t high;
    int32_t block; /* pixels that are read before any of them is written */
    bool direct;   /* a pixel of the input is the patch itself */
    bool backwards;
} acula_window_t;

typedef struct {
    int32_t inputs;
    int32_t outputs;
    int32_t out_zero;
    int32_t low;
    int32_t high;
} acula_dense_t;

typedef struct {
    int32_t pixels;
    int32_t channels;
    int32_t in_zero;
    int32_t out_zero;
    int32_t multiplier;
    int32_t shift;
} acula_mean_t;

typedef struct {
    int32_t count;
    int32_t first_zero;
    int32_t out_zero;
    int32_t low;
    int32_t high;
} acula_add_t;

/* weights (out_channels, kernel rows, line_bytes): kernel columns, input channels, then zeros. */
void acula_convolution(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                       int8_t *made);

/* weights (kernel rows, kernel columns, channels); `zeros` are `in_channels` times in_zero. */
void acula_depthwise(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                     const int8_t *given, int8_t *made);

/* weights (outputs, inputs); made and given lie apart. */
void acula_dense(const acula_dense_t *shape, const acula_weights_t *weights, const int8_t *given, int8_t *made);

/* The mean over all pixels of each channel since sums were 0; `hops` counts this run and those before. */
void acula_mean(const acula_mean_t *shape, int32_t hops, int32_t *sums, const int8_t *given, int8_t *made);

/* first + second, number by number, with the factors of the first, the second and the sum; made may be
 * either of them. */
void acula_add(const acula_add_t *shape, const acula_weights_t *weights, const int8_t *first,
               const int8_t *second, int8_t *made);

#endif
