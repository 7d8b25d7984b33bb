#include "acula_kernels.h"

#include <string.h>

#include "acula_scale.h"

#if defined(ACULA_MVE)
#include "acula_mve.h"
#elif defined(ACULA_DSP)
#include "acula_dsp.h"
#else
#include "acula_portable.h"
#endif

/* Bytes that are gathered at once. */
#define WORD 4

static void clamp_all(const acula_window_t *shape, int32_t count, int8_t *made)
{
    if ((shape->low > INT8_MIN) || (shape->high < INT8_MAX)) {
        for (int32_t i = 0; i < count; ++i) {
            made[i] = acula_clamp(made[i], shape->low, shape->high);
        }
    }
}

static void copy(const int8_t *from, int32_t count, int8_t *to)
{
    for (int32_t i = 0; i < count; ++i) {
        to[i] = from[i];
    }
}

/* Where the rows of the kernel begin for one row of the output; null: above or below the map. */
typedef struct {
    int32_t first; /* pixel of that row */
    const int8_t *lines[ACULA_MAX_SIDE];
} lines_t;

static void find_lines(const acula_window_t *shape, const int8_t *given, int32_t pixel, lines_t *lines)
{
    const int32_t row = pixel / shape->out_width;
    lines->first = row * shape->out_width;
    for (int32_t i = 0; i < shape->kernel_height; ++i) {
        const int32_t y = (row * shape->stride_height) - shape->pad_height + i;
        const bool inside = (y >= 0) && (y < shape->in_height);
        lines->lines[i] = inside ? (given + (y * shape->in_width * shape->in_channels)) : NULL;
    }
}

/* One kernel row of a patch, where a part of it lies outside the map: there is zero. */
static void gather_edge(const acula_window_t *shape, const int8_t *line, int32_t x, int8_t *patch)
{
    const int32_t channels = shape->in_channels;
    for (int32_t column = x; column < x + shape->kernel_width; ++column) {
        if ((column < 0) || (column >= shape->in_width)) {
            (void)memset(patch, shape->in_zero, (size_t)channels);
        } else {
            copy(line + (column * channels), channels, patch);
        }
        patch += channels;
    }
}

/* A line of the kernel, and what lies behind it up to a whole word: there the weights are zero. */
static inline void gather_line(const int8_t *line, int32_t bytes, int8_t *patch)
{
    for (int32_t i = 0; i < bytes; i += WORD) {
        (void)memcpy(patch + i, line + i, WORD);
    }
}

static void gather(const acula_window_t *shape, const lines_t *lines, int32_t pixel, int8_t *patch)
{
    const int32_t x = ((pixel - lines->first) * shape->stride_width) - shape->pad_width;
    const int32_t bytes = shape->line_bytes;
    const int32_t first = x * shape->in_channels;
    const bool inside = (x >= 0) && (first + bytes <= shape->in_width * shape->in_channels);
    for (int32_t i = 0; i < shape->kernel_height; ++i) {
        const int8_t *line = lines->lines[i];
        if (line == NULL) {
            (void)memset(patch, shape->in_zero, (size_t)bytes);
        } else if (inside) {
            gather_line(line + first, bytes, patch);
        } else {
            gather_edge(shape, line, x, patch);
        }
        patch += bytes;
    }
}

/* The rows of `count` pixels, one after the other. */
static const int8_t *rows_at(const acula_window_t *shape, const int8_t *given, int32_t first, int32_t count,
                             lines_t *lines, int8_t *patches)
{
    if (shape->direct) {
        return given + (first * shape->in_channels);
    }
    for (int32_t i = 0; i < count; ++i) {
        const int32_t pixel = first + i;
        if ((pixel < lines->first) || (pixel >= lines->first + shape->out_width)) {
            find_lines(shape, given, pixel, lines);
        }
        gather(shape, lines, pixel, patches + (i * shape->row_bytes));
    }
    return patches;
}

/* Channels from `channel` on of one pixel. */
static void one_pixel(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                      int32_t channel, int8_t *y)
{
    for (int32_t c = channel; c < shape->out_channels; ++c) {
        const int8_t *w = weights->weights + (c * shape->row_bytes);
        int32_t sum = weights->biases[c];
        for (int32_t k = 0; k < shape->row_bytes; ++k) {
            sum += (int32_t)x[k] * (int32_t)w[k];
        }
        y[c] = (int8_t)acula_saturate(acula_scale(sum, weights->multipliers[c], weights->shifts[c]) + shape->out_zero);
    }
}

void acula_convolution(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                       int8_t *made)
{
    int8_t patches[2 * ACULA_MAX_PATCH];
    lines_t lines;
    (void)memset(patches, 0, sizeof patches);
    find_lines(shape, given, 0, &lines);
    const int32_t channels = shape->out_channels;
    const int32_t together = (int32_t)((uint32_t)channels & ~(ACULA_TOGETHER - 1u));
    const int32_t pixels = shape->out_height * shape->out_width;
    const int32_t blocks = (pixels + 1) / 2;
    for (int32_t i = 0; i < blocks; ++i) {
        const int32_t first = 2 * (shape->backwards ? (blocks - 1 - i) : i);
        const int32_t count = (first + 1 < pixels) ? 2 : 1;
        const int8_t *x = rows_at(shape, given, first, count, &lines, patches);
        int8_t *y = made + (first * channels);
        if (count == 2) {
            acula_rows(shape, weights, x, y);
            one_pixel(shape, weights, x + shape->row_bytes, together, y + channels);
        }
        one_pixel(shape, weights, x, (count == 2) ? together : 0, y);
        clamp_all(shape, count * channels, y);
    }
}

/* Where each number of the kernel finds its pixel; outside the map that is `zeros`. */
static void find_taps(const acula_window_t *shape, const int8_t *zeros, const int8_t *given, int32_t y,
                      int32_t x, const int8_t **taps)
{
    const int32_t channels = shape->in_channels;
    const int32_t last = x + shape->kernel_width;
    const bool inside = (x >= 0) && (last <= shape->in_width);
    const int8_t **tap = taps;
    for (int32_t row = y; row < y + shape->kernel_height; ++row) {
        const bool known = (row >= 0) && (row < shape->in_height);
        const int8_t *pixel = given + (((row * shape->in_width) + x) * channels);
        for (int32_t column = x; column < last; ++column) {
            *tap = pixel;
            if (!known || (!inside && ((column < 0) || (column >= shape->in_width)))) {
                *tap = zeros;
            }
            pixel += channels;
            ++tap;
        }
    }
}

/* The same one pixel to the right, where all stays inside. */
static void move_taps(int32_t count, int32_t bytes, const int8_t **taps)
{
    for (int32_t i = 0; i < count; ++i) {
        taps[i] += bytes;
    }
}

/* Whether a kernel at (y, x) lies inside the map. */
static bool lies_inside(const acula_window_t *shape, int32_t y, int32_t x)
{
    return (y >= 0) && (y + shape->kernel_height <= shape->in_height) && (x >= 0) &&
           (x + shape->kernel_width <= shape->in_width);
}

static void depthwise_row(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                          const int8_t *given, int32_t row, int8_t *made)
{
    const int8_t *taps[ACULA_MAX_TAPS];
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t direction = shape->backwards ? -1 : 1;
    const int32_t step = direction * shape->stride_width;
    const int32_t y = (row * shape->stride_height) - shape->pad_height;
    int32_t column = shape->backwards ? (shape->out_width - 1) : 0;
    int32_t x = (column * shape->stride_width) - shape->pad_width;
    bool was_inside = false;
    for (int32_t i = 0; i < shape->out_width; ++i) {
        const bool inside = lies_inside(shape, y, x);
        if (inside && was_inside) {
            move_taps(count, step * shape->in_channels, taps);
        } else {
            find_taps(shape, zeros, given, y, x, taps);
        }
        was_inside = inside;
        int8_t *out = made + (((row * shape->out_width) + column) * shape->out_channels);
        acula_channels(shape, weights, taps, out);
        clamp_all(shape, shape->out_channels, out);
        column += direction;
        x += step;
    }
}

void acula_depthwise(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                     const int8_t *given, int8_t *made)
{
    for (int32_t i = 0; i < shape->out_height; ++i) {
        const int32_t row = shape->backwards ? (shape->out_height - 1 - i) : i;
        depthwise_row(shape, weights, zeros, given, row, made);
    }
}
