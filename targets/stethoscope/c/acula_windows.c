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

static void clamp_all(const acula_window_t *shape, int32_t count, int8_t *made)
{
    for (int32_t i = 0; i < count; ++i) {
        made[i] = acula_clamp(made[i], shape->low, shape->high);
    }
}

static bool clamps(const acula_window_t *shape)
{
    return (shape->low > INT8_MIN) || (shape->high < INT8_MAX);
}

#if !defined(ACULA_MVE)
/* Whether every channel's factor is shifted to the right. */
static bool acula_all_right(const int32_t *shifts, int32_t channels)
{
    bool right = true;
    for (int32_t i = 0; i < channels; ++i) {
        right = right && (shifts[i] < 0);
    }
    return right;
}
#endif

/* Whether sums are only shifted to the right, and cut off at zero: rounding is simpler then. */
static bool is_plain(const acula_window_t *shape, const acula_weights_t *weights)
{
    return (shape->out_zero == INT8_MIN) && acula_all_right(weights->shifts, shape->out_channels);
}

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
    if (clamps(shape)) {
        clamp_all(shape, count * channels, y);
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
        if ((done < count) || ((uint32_t)channels % ACULA_TOGETHER != 0u) || clamps(shape)) {
            rest_of_block(shape, weights, x, done, count, y);
        }
    }
}

void acula_convolution(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                       int8_t *made)
{
    switch (acula_way(shape, is_plain(shape, weights))) {
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

/* Where each number of the kernel finds its pixel; outside the map that is `zeros`. */
typedef struct {
    bool known[ACULA_MAX_SIDE]; /* rows that lie inside the map */
    const int8_t *taps[ACULA_MAX_TAPS];
} taps_t;

static void find_taps(const acula_window_t *shape, const int8_t *zeros, const int8_t *given, int32_t y,
                      int32_t x, taps_t *taps)
{
    const int32_t channels = shape->in_channels;
    const int32_t width = shape->kernel_width;
    const uint32_t columns = (uint32_t)shape->in_width;
    const int8_t **tap = taps->taps;
    for (int32_t i = 0; i < shape->kernel_height; ++i) {
        const int32_t row = y + i;
        const bool known = (row >= 0) && (row < shape->in_height);
        const uint32_t end = known ? columns : 0u;
        const int8_t *pixel = given + (((row * shape->in_width) + x) * channels);
        taps->known[i] = known;
        for (int32_t j = 0; j < width; ++j) {
            *tap = ((uint32_t)(x + j) < end) ? pixel : zeros; /* large where it is negative */
            pixel += channels;
            ++tap;
        }
    }
}

/* The same some bytes to the right, where all columns stay inside and some rows do not. */
static void move_taps(const acula_window_t *shape, int32_t bytes, taps_t *taps)
{
    const int8_t **tap = taps->taps;
    const int32_t width = shape->kernel_width;
    const int32_t height = shape->kernel_height;
    for (int32_t i = 0; i < height; ++i) {
        const int32_t step = taps->known[i] ? bytes : 0;
        for (int32_t j = 0; j < width; ++j) {
            *tap += step;
            ++tap;
        }
    }
}

/* Whether all columns of a kernel stay inside. */
static inline bool columns_inside(const acula_window_t *shape, int32_t x)
{
    return (x >= 0) && (x + shape->kernel_width <= shape->in_width);
}

/* One pixel, or two that lie `step` bytes apart where both are `inside` and that is faster. Returns how many.
 * Taps have moved by `at` bytes. */
ACULA_INLINE int32_t some_pixels(const acula_window_t *shape, const acula_weights_t *weights, const taps_t *taps,
                                 int32_t at, bool inside, int32_t step, int8_t *out, int32_t next, bool plain)
{
#if defined(ACULA_MVE)
    if (inside && (shape->out_channels == EIGHT)) {
        acula_two_pixels(shape, weights, taps->taps, at, step, out, out + next, plain);
        return 2;
    }
#else
    (void)inside;
    (void)step;
    (void)next;
#endif
    acula_channels(shape, weights, taps->taps, at, out, plain);
    return 1;
}

/* Inlined once for each way of computing a pixel. */
ACULA_INLINE void depthwise_row(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                                const int8_t *given, int32_t row, int8_t *made, bool plain)
{
    taps_t taps;
    const int32_t step = shape->backwards ? -shape->stride_width : shape->stride_width;
    const int32_t channels = shape->out_channels;
    const int32_t next = shape->backwards ? -channels : channels;
    const int32_t first = shape->backwards ? (shape->out_width - 1) : 0;
    const int32_t y = (row * shape->stride_height) - shape->pad_height;
    const bool whole = (y >= 0) && (y + shape->kernel_height <= shape->in_height);
    int32_t x = (first * shape->stride_width) - shape->pad_width;
    int8_t *out = made + (((row * shape->out_width) + first) * channels);
    int32_t moved = 0; /* pixels since the last one; none: it lies at an edge */
    int32_t at = 0;
    int32_t left = shape->out_width;
    while (left > 0) {
        const bool inside = columns_inside(shape, x);
        if (!inside || (moved == 0)) {
            find_taps(shape, zeros, given, y, x, &taps);
            at = 0;
        } else if (whole) {
            at += moved * step * channels;
        } else {
            move_taps(shape, moved * step * channels, &taps);
        }
        const bool both = whole && inside && (left > 1) && columns_inside(shape, x + step);
        const int32_t count = some_pixels(shape, weights, &taps, at, both, step * channels, out, next, plain);
        for (int32_t i = 0; clamps(shape) && (i < count); ++i) {
            clamp_all(shape, channels, out + (i * next));
        }
        moved = inside ? count : 0;
        left -= count;
        x += count * step;
        out += count * next;
    }
}

void acula_depthwise(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                     const int8_t *given, int8_t *made)
{
    const bool plain = is_plain(shape, weights);
    for (int32_t i = 0; i < shape->out_height; ++i) {
        const int32_t row = shape->backwards ? (shape->out_height - 1 - i) : i;
        if (plain) {
            depthwise_row(shape, weights, zeros, given, row, made, true);
        } else {
            depthwise_row(shape, weights, zeros, given, row, made, false);
        }
    }
}
