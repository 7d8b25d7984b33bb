#include "acula_frontend.h"

#include "acula_scale.h"
#include "acula_tables.h"

/* The real transform of n_fft points is a complex one of half as many. */
#define POINTS (ACULA_N_FFT / 2)
#define STEPS_LEAST ((float)(INT8_MIN - ACULA_FEATURES_ZERO))
#define STEPS_MOST ((float)(INT8_MAX - ACULA_FEATURES_ZERO))
/* Added and taken away again, it leaves the nearest whole number, the even one of two. */
#define WHOLE 12582912.0f

/* Helium's vectors of floats, which want transforms of a certain size. Both ways give the same bits. */
#if defined(ACULA_MVE_FLOAT) && (ACULA_N_FFT >= 128)
#include "acula_frontend_mve.h"
#else
#include "acula_frontend_portable.h"
#endif

void acula_frontend_frame(acula_frontend_t *frontend, int32_t frame, int8_t *features)
{
    float *z = frontend->spectrum;
    load(frontend->samples, z);
    transform(z);
    powers(z);
    bands(z, features + (frame * ACULA_FRAME_STEP));
}
