#include "acula_cmsis.h"

#include "arm_nnfunctions.h"

/* CMSIS-NN refuses null pointers and shapes that do not fit each other; the generator makes neither. */

static cmsis_nn_dims map_of(int32_t height, int32_t width, int32_t channels)
{
    const cmsis_nn_dims dims = {1, height, width, channels};
    return dims;
}

static cmsis_nn_tile tile_of(int32_t height, int32_t width)
{
    const cmsis_nn_tile tile = {width, height};
    return tile;
}

static cmsis_nn_activation range_of(const acula_window_t *shape)
{
    const cmsis_nn_activation range = {shape->low, shape->high};
    return range;
}

/* Its pointers are not const, though it only reads through them. */
static cmsis_nn_per_channel_quant_params factors_of(const acula_weights_t *weights)
{
    const cmsis_nn_per_channel_quant_params factors = {(int32_t *)weights->multipliers,
                                                       (int32_t *)weights->shifts};
    return factors;
}

void acula_cmsis_convolution(const acula_window_t *shape, const acula_weights_t *weights, int8_t *scratch,
                             const int8_t *given, int8_t *made)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_conv_params params = {-shape->in_zero,
                                         shape->out_zero,
                                         tile_of(shape->stride_height, shape->stride_width),
                                         tile_of(shape->pad_height, shape->pad_width),
                                         tile_of(1, 1),
                                         range_of(shape)};
    const cmsis_nn_per_channel_quant_params factors = factors_of(weights);
    const cmsis_nn_dims in = map_of(shape->in_height, shape->in_width, shape->in_channels);
    const cmsis_nn_dims out = map_of(shape->out_height, shape->out_width, shape->out_channels);
    const cmsis_nn_dims kernel = map_of(shape->kernel_height, shape->kernel_width, shape->in_channels);
    const cmsis_nn_dims biases = map_of(1, 1, shape->out_channels);
    (void)arm_convolve_wrapper_s8(&context, &params, &factors, &in, given, &kernel, weights->weights, &biases,
                                  weights->biases, &out, made);
}

void acula_cmsis_depthwise(const acula_window_t *shape, const acula_weights_t *weights, int8_t *scratch,
                           const int8_t *given, int8_t *made)
{
    const cmsis_nn_context context = {scratch, 0};
    const cmsis_nn_dw_conv_params params = {-shape->in_zero,
                                            shape->out_zero,
                                            1,
                                            tile_of(shape->stride_height, shape->stride_width),
                                            tile_of(shape->pad_height, shape->pad_width),
                                            tile_of(1, 1),
                                            range_of(shape)};
    const cmsis_nn_per_channel_quant_params factors = factors_of(weights);
    const cmsis_nn_dims in = map_of(shape->in_height, shape->in_width, shape->in_channels);
    const cmsis_nn_dims out = map_of(shape->out_height, shape->out_width, shape->out_channels);
    const cmsis_nn_dims kernel = map_of(shape->kernel_height, shape->kernel_width, shape->in_channels);
    const cmsis_nn_dims biases = map_of(1, 1, shape->out_channels);
    (void)arm_depthwise_conv_wrapper_s8(&context, &params, &factors, &in, given, &kernel, weights->weights,
                                        &biases, weights->biases, &out, made);
}
