#include "acula_kernels.h"
#include "acula_scale.h"

#if defined(ACULA_MVE)
#include "acula_mve_channels.h"
#elif defined(ACULA_DSP)
#include "acula_dsp_channels.h"
#else
#include "acula_portable_channels.h"
#endif
#include "acula_windows.h"

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
        for (int32_t i = 0; acula_clamps(shape) && (i < count); ++i) {
            acula_clamp_all(shape, channels, out + (i * next));
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
    const bool plain = acula_is_plain(shape, weights);
    for (int32_t i = 0; i < shape->out_height; ++i) {
        const int32_t row = shape->backwards ? (shape->out_height - 1 - i) : i;
        if (plain) {
            depthwise_row(shape, weights, zeros, given, row, made, true);
        } else {
            depthwise_row(shape, weights, zeros, given, row, made, false);
        }
    }
}
