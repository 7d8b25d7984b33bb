#include "acula_kernels.h"

#include "acula_scale.h"

#if defined(ACULA_MVE)
#include "acula_mve.h"
#elif defined(ACULA_DSP)
#include "acula_dsp.h"
#else
#include "acula_portable.h"
#endif

#if !defined(ACULA_MVE)
/* sums of each channel over all pixels, added to what they were. */
static void acula_sum_pixels(const acula_mean_t *shape, const int8_t *given, int32_t *sums)
{
    for (int32_t channel = 0; channel < shape->channels; ++channel) {
        const int8_t *pixel = given + channel;
        int32_t sum = sums[channel] - (shape->pixels * shape->in_zero);
        for (int32_t i = 0; i < shape->pixels; ++i) {
            sum += (int32_t)*pixel;
            pixel += shape->channels;
        }
        sums[channel] = sum;
    }
}

/* Sums by one factor, to INT8. */
static void acula_scale_all(const int32_t *sums, int32_t count, int32_t multiplier, int32_t shift, int32_t zero,
                            int8_t *made)
{
    for (int32_t i = 0; i < count; ++i) {
        made[i] = (int8_t)acula_saturate(acula_scale(sums[i], multiplier, shift) + zero);
    }
}

/* How many numbers were added already: none. */
static inline int32_t acula_add_vectors(const acula_add_t *shape, const acula_weights_t *weights,
                                        const int8_t *first, const int8_t *second, int8_t *made)
{
    (void)shape;
    (void)weights;
    (void)first;
    (void)second;
    (void)made;
    return 0;
}
#endif

void acula_dense(const acula_dense_t *shape, const acula_weights_t *weights, const int8_t *given, int8_t *made)
{
    int32_t sums[ACULA_DOTS];
    for (int32_t first = 0; first < shape->outputs; first += ACULA_DOTS) {
        const int32_t left = shape->outputs - first;
        const int32_t count = (left < ACULA_DOTS) ? left : ACULA_DOTS;
        acula_dots(given, weights->weights + (first * shape->inputs), shape->inputs, count, sums);
        for (int32_t i = 0; i < count; ++i) {
            const int32_t output = first + i;
            const int32_t sum = sums[i] + weights->biases[output];
            const int32_t steps = acula_scale_once(sum, weights->multipliers[output], weights->shifts[output]);
            made[output] = acula_clamp(steps + shape->out_zero, shape->low, shape->high);
        }
    }
}

/* The least number of bits that hold x, less one. */
static int32_t log_2(int32_t x)
{
    int32_t bits = 0;
    for (int32_t rest = x; rest > 1; rest /= 2) {
        ++bits;
    }
    return bits;
}

void acula_mean(const acula_mean_t *shape, int32_t hops, int32_t *sums, const int8_t *given, int8_t *made)
{
    /* The division by the count becomes part of the factor (TFLite, reduce.cc). */
    const int32_t count = shape->pixels * hops;
    const int32_t most = 31 + shape->shift;
    const int32_t bits = (log_2(count) < most) ? log_2(count) : most;
    const int32_t multiplier = (int32_t)(((int64_t)shape->multiplier * ((int64_t)1 << bits)) / count);
    acula_sum_pixels(shape, given, sums);
    acula_scale_all(sums, shape->channels, multiplier, shape->shift - bits, shape->out_zero, made);
}

void acula_add(const acula_add_t *shape, const acula_weights_t *weights, const int8_t *first,
               const int8_t *second, int8_t *made)
{
    const int32_t *multipliers = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    for (int32_t i = acula_add_vectors(shape, weights, first, second, made); i < shape->count; ++i) {
        const int32_t a = ((int32_t)first[i] - shape->first_zero) * (1 << ACULA_ADD_LEFT);
        const int32_t b = ((int32_t)second[i] - weights->zero) * (1 << ACULA_ADD_LEFT);
        const int32_t sum =
            acula_scale(a, multipliers[0], shifts[0]) + acula_scale(b, multipliers[1], shifts[1]);
        const int32_t steps = acula_scale(sum, multipliers[2], shifts[2]);
        made[i] = acula_clamp(steps + shape->out_zero, shape->low, shape->high);
    }
}
