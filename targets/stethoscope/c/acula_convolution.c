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
#include "acula_windows.h"

/* Where the rows of the kernel begin for one row of the output; null: above or below the map. */
typedef struct {
    int32_t first; /* pixel of that row */
    bool whole;    /* no row is missing */
    const int8_t *lines[ACULA_MAX_SIDE];
} lines_t;

static void find_lines(const acula_window_t *shape, const int8_t *given, int32_t pixel, lines_t *lines)
{
    const int32_t row = pixel / shape->out_width;
    lines->first = row * shape->out_width;
    lines->whole = true;
    for (int32_t i = 0; i < shape->kernel_height; ++i) {
        const int32_t y = (row * shape->stride_height) - shape->pad_height + i;
        const bool inside = (y >= 0) && (y < shape->in_height);
        lines->lines[i] = inside ? (given + (y * shape->in_width * shape->in_channels)) : NULL;
        lines->whole = lines->whole && inside;
    }
}

/* A patch of which a part lies outside the map: there is zero. */
static void gather_edge(const acula_window_t *shape, const lines_t *lines, int32_t start, int8_t *patch)
{
    const int32_t bytes = shape->kernel_width * shape->in_channels;
    const uint32_t width = (uint32_t)(shape->in_width * shape->in_channels);
    const int8_t zero = (int8_t)shape->in_zero;
    for (int32_t i = 0; i < shape->kernel_height; ++i) {
        const int8_t *line = lines->lines[i];
        const uint32_t end = (line == NULL) ? 0u : width;
        for (int32_t at = 0; at < bytes; ++at) {
            const uint32_t place = (uint32_t)(start + at); /* large where it is negative */
            patch[at] = (place < end) ? line[place] : zero;
        }
        patch += shape->line_bytes;
    }
}

/* A patch inside the map, by words: what lies behind a line meets weights of zero. */
static inline void gather_words(const int8_t *const *lines, int32_t height, int32_t start, int32_t bytes,
                                int8_t *patch)
{
    for (int32_t i = 0; i < height; ++i) {
        const int8_t *from = lines[i] + start;
        int32_t left = bytes;
        do {
            const uint32_t word = acula_load4(from);
            (void)memcpy(patch, &word, sizeof word);
            from += sizeof word;
            patch += sizeof word;
            left -= (int32_t)sizeof word;
        } while (left > 0);
    }
}

/* The patches of `count` pixels, one after the other. */
static void gather(const acula_window_t *shape, const int8_t *given, int32_t pixel, int32_t count,
                   lines_t *lines, int8_t *patches)
{
    const int32_t channels = shape->in_channels;
    const int32_t bytes = shape->line_bytes;
    const int32_t step = shape->stride_width * channels;
    const int32_t last = (shape->in_width * channels) - bytes;
    int32_t column = pixel - lines->first;
    for (int32_t i = 0; i < count; ++i) {
        if ((column < 0) || (column >= shape->out_width)) {
            find_lines(shape, given, pixel + i, lines);
            column = pixel + i - lines->first;
        }
        const int32_t start = (column * step) - (shape->pad_width * channels);
        if (!lines->whole || (start < 0) || (start > last)) {
            gather_edge(shape, lines, start, patches);
        } else if (bytes == (int32_t)sizeof(uint32_t)) { /* the loop inside is gone then */
            gather_words(lines->lines, shape->kernel_height, start, (int32_t)sizeof(uint32_t), patches);
        } else {
            gather_words(lines->lines, shape->kernel_height, start, bytes, patches);
        }
        patches += shape->row_bytes;
        ++column;
    }
}

/* Channels from `channel` on of one pixel. */
static void one_pixel(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                      int32_t channel, int8_t *y)
{
    int32_t sums[ACULA_DOTS];
    const int32_t last = shape->out_channels;
    for (int32_t c = channel; c < last; c += ACULA_DOTS) {
        const int32_t count = (last - c < ACULA_DOTS) ? (last - c) : ACULA_DOTS;
        acula_dots(x, weights->weights + (c * shape->row_bytes), shape->row_bytes, count, sums);
        for (int32_t i = 0; i < count; ++i) {
            const int32_t sum = sums[i] + weights->biases[c + i];
            const int32_t steps = acula_scale(sum, weights->multipliers[c + i], weights->shifts[c + i]);
            y[c + i] = (int8_t)acula_saturate(steps + shape->out_zero);
        }
    }
}

/* What acula_rows leaves: pixels from `done` on, and channels that it does not take together. */
static void rest_of_block(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                          int32_t done, int32_t count, int8_t *y)
{
    const int32_t channels = shape->out_channels;
    const int32_t together = (int32_t)((uint32_t)channels & ~(ACULA_TOGETHER - 1u));
    for (int32_t i = 0; i < count; ++i) {
        const int32_t channel = (i < done) ? together : 0;
        if (channel < channels) {
            one_pixel(shape, weights, x + (i * shape->row_bytes), channel, y + (i * channels));
        }
    }
    if (acula_clamps(shape)) {
        acula_clamp_all(shape, count * channels, y);
    }
}

/* A block of pixels at a time; inlined once for each way of computing them. */
ACULA_INLINE void convolve(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                           int8_t *made, acula_way_t way)
{
    int8_t patches[ACULA_PATCHES];
    lines_t lines;
    const int32_t channels = shape->out_channels;
    const int32_t pixels = shape->out_height * shape->out_width;
    const int32_t size = shape->block;
    const int32_t blocks = (pixels + size - 1) / size;
    if (!shape->direct) {
        find_lines(shape, given, 0, &lines);
        (void)memset(patches, 0, sizeof patches);
    }
    for (int32_t i = 0; i < blocks; ++i) {
        const int32_t first = size * (shape->backwards ? (blocks - 1 - i) : i);
        const int32_t count = (pixels - first < size) ? (pixels - first) : size;
        const int8_t *x = given + (first * shape->in_channels);
        int8_t *y = made + (first * channels);
        if (!shape->direct) {
            gather(shape, given, first, count, &lines, patches);
            x = patches;
        }
        const int32_t done = acula_rows(shape, weights, x, count, y, way);
        if ((done < count) || ((uint32_t)channels % ACULA_TOGETHER != 0u) || acula_clamps(shape)) {
            rest_of_block(shape, weights, x, done, count, y);
        }
    }
}

void acula_convolution(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                       int8_t *made)
{
    switch (acula_way(shape, acula_is_plain(shape, weights))) {
    case ACULA_PLAIN:
        convolve(shape, weights, given, made, ACULA_PLAIN);
        break;
#if defined(ACULA_MVE)
    case ACULA_SHORT:
        convolve(shape, weights, given, made, ACULA_SHORT);
        break;
    case ACULA_SHORT_PLAIN:
        convolve(shape, weights, given, made, ACULA_SHORT_PLAIN);
        break;
#endif
    default:
        convolve(shape, weights, given, made, ACULA_ANY);
        break;
    }
}
