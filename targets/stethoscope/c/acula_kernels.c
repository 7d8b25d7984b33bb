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

/* Bits that an addition works with more (TFLite, add.cc). */
#define ADD_LEFT 20

static void clamp_all(const acula_window_t *shape, int8_t *made)
{
    if ((shape->low > INT8_MIN) || (shape->high < INT8_MAX)) {
        for (int32_t channel = 0; channel < shape->out_channels; ++channel) {
            made[channel] = acula_clamp(made[channel], shape->low, shape->high);
        }
    }
}

/* One kernel row of a patch: what lies outside the map is zero. */
static void gather_row(const acula_window_t *shape, const int8_t *given, int32_t y, int32_t x, int8_t *patch)
{
    const int32_t channels = shape->in_channels;
    for (int32_t column = 0; column < shape->kernel_width; ++column) {
        const int32_t at = x + column;
        if ((y < 0) || (y >= shape->in_height) || (at < 0) || (at >= shape->in_width)) {
            (void)memset(patch, shape->in_zero, (size_t)channels);
        } else {
            const int8_t *pixel = given + (((y * shape->in_width) + at) * channels);
            for (int32_t channel = 0; channel < channels; ++channel) {
                patch[channel] = pixel[channel];
            }
        }
        patch += channels;
    }
}

static const int8_t *patch_at(const acula_window_t *shape, const int8_t *given, int32_t pixel, int8_t *patch)
{
    if (shape->direct) {
        return given + (pixel * shape->in_channels);
    }
    const int32_t row = pixel / shape->out_width;
    const int32_t y = (row * shape->stride_height) - shape->pad_height;
    const int32_t x = ((pixel - (row * shape->out_width)) * shape->stride_width) - shape->pad_width;
    const int32_t bytes = shape->kernel_width * shape->in_channels;
    for (int32_t part = 0; part < shape->kernel_height; ++part) {
        gather_row(shape, given, y + part, x, patch + (part * bytes));
    }
    return patch;
}

void acula_convolution(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *given,
                       int8_t *made)
{
    int8_t patches[2][ACULA_MAX_PATCH];
    (void)memset(patches, 0, sizeof patches);
    const int32_t pixels = shape->out_height * shape->out_width;
    const int32_t blocks = (pixels + 1) / 2;
    for (int32_t i = 0; i < blocks; ++i) {
        const int32_t first = 2 * (shape->backwards ? (blocks - 1 - i) : i);
        const int32_t second = (first + 1 < pixels) ? (first + 1) : first;
        const int8_t *x0 = patch_at(shape, given, first, patches[0]);
        const int8_t *x1 = patch_at(shape, given, second, patches[1]);
        int8_t *y0 = made + (first * shape->out_channels);
        int8_t *y1 = made + (second * shape->out_channels);
        acula_rows(shape, weights, x0, x1, y0, y1);
        clamp_all(shape, y0);
        clamp_all(shape, y1);
    }
}

static void find_taps(const acula_window_t *shape, const int8_t *zeros, const int8_t *given, int32_t y,
                      int32_t x, const int8_t **taps)
{
    const int32_t channels = shape->in_channels;
    const int8_t **tap = taps;
    for (int32_t row = y; row < y + shape->kernel_height; ++row) {
        const bool inside = (row >= 0) && (row < shape->in_height);
        for (int32_t column = x; column < x + shape->kernel_width; ++column) {
            *tap = zeros;
            if (inside && (column >= 0) && (column < shape->in_width)) {
                *tap = given + (((row * shape->in_width) + column) * channels);
            }
            ++tap;
        }
    }
}

void acula_depthwise(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *zeros,
                     const int8_t *given, int8_t *made)
{
    const int8_t *taps[ACULA_MAX_TAPS];
    for (int32_t i = 0; i < shape->out_height; ++i) {
        const int32_t row = shape->backwards ? (shape->out_height - 1 - i) : i;
        const int32_t y = (row * shape->stride_height) - shape->pad_height;
        for (int32_t j = 0; j < shape->out_width; ++j) {
            const int32_t column = shape->backwards ? (shape->out_width - 1 - j) : j;
            const int32_t x = (column * shape->stride_width) - shape->pad_width;
            int8_t *out = made + (((row * shape->out_width) + column) * shape->out_channels);
            find_taps(shape, zeros, given, y, x, taps);
            acula_channels(shape, weights, taps, 0, out);
            clamp_all(shape, out);
        }
    }
}

void acula_dense(const acula_dense_t *shape, const acula_weights_t *weights, const int8_t *given, int8_t *made)
{
    const int8_t *w = weights->weights;
    for (int32_t output = 0; output < shape->outputs; ++output) {
        int32_t sum = weights->biases[output];
        for (int32_t input = 0; input < shape->inputs; ++input) {
            sum += (int32_t)given[input] * (int32_t)w[input];
        }
        const int32_t steps = acula_scale_once(sum, weights->multipliers[output], weights->shifts[output]);
        made[output] = acula_clamp(steps + shape->out_zero, shape->low, shape->high);
        w += shape->inputs;
    }
}

void acula_mean(const acula_mean_t *shape, const int8_t *given, int8_t *made)
{
    for (int32_t channel = 0; channel < shape->channels; ++channel) {
        const int8_t *pixel = given + channel;
        int32_t sum = -(shape->in_zero * shape->pixels);
        for (int32_t i = 0; i < shape->pixels; ++i) {
            sum += (int32_t)*pixel;
            pixel += shape->channels;
        }
        made[channel] = acula_int8(acula_scale(sum, shape->multiplier, shape->shift) + shape->out_zero);
    }
}

void acula_add(const acula_add_t *shape, const acula_weights_t *weights, const int8_t *first,
               const int8_t *second, int8_t *made)
{
    const int32_t *multipliers = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    for (int32_t i = 0; i < shape->count; ++i) {
        const int32_t a = ((int32_t)first[i] - shape->first_zero) * (1 << ADD_LEFT);
        const int32_t b = ((int32_t)second[i] - weights->zero) * (1 << ADD_LEFT);
        const int32_t sum =
            acula_scale(a, multipliers[0], shifts[0]) + acula_scale(b, multipliers[1], shifts[1]);
        const int32_t steps = acula_scale(sum, multipliers[2], shifts[2]);
        made[i] = acula_clamp(steps + shape->out_zero, shape->low, shape->high);
    }
}
