#include "acula.h"

#include <string.h>

#include "acula_network.h"
#include "acula_results.h"
#include "acula_state.h"

void acula_built_in_head(acula_state_t *state)
{
    for (int32_t i = 0; i < ACULA_HEAD_LAYERS; ++i) {
        state->head[i] = acula_network_weights[acula_head_steps[i]];
    }
}

void acula_init(acula_state_t *state)
{
    acula_built_in_head(state);
    acula_restart(state);
}

void acula_restart(acula_state_t *state)
{
    state->filled = 0;
    state->frame = 0;
    state->heard = 0;
}

/* The window is full: its frame, then the samples that the next window shares with it move to its start. */
static void end_window(acula_state_t *state)
{
    acula_frontend_t *frontend = &state->frontend;
    if (state->frame < ACULA_N_FRAMES) {
        acula_frontend_frame(frontend, state->frame, state->arena.bytes + ACULA_FEATURES_OFFSET);
        state->frame += 1;
    }
    state->filled = ACULA_WINDOW_SAMPLES - ACULA_HOP_SAMPLES;
    (void)memmove(frontend->samples, frontend->samples + ACULA_HOP_SAMPLES,
                  (size_t)state->filled * sizeof frontend->samples[0]);
}

static size_t smaller(size_t a, int32_t b)
{
    return (a < (size_t)b) ? a : (size_t)b;
}

size_t acula_push_pcm(acula_state_t *state, const int16_t *pcm, size_t count)
{
    const size_t taken = smaller(count, ACULA_CLIP_SAMPLES - state->heard);
    size_t done = 0;
    while (done < taken) {
        const size_t part = smaller(taken - done, ACULA_WINDOW_SAMPLES - state->filled);
        (void)memcpy(state->frontend.samples + state->filled, pcm + done, part * sizeof pcm[0]);
        state->filled += (int32_t)part;
        done += part;
        if (state->filled == ACULA_WINDOW_SAMPLES) {
            end_window(state);
        }
    }
    state->heard += (int32_t)taken;
    return taken;
}

acula_status_t acula_poll(acula_state_t *state, acula_result_t *result)
{
    if (state->heard < ACULA_CLIP_SAMPLES) {
        return ACULA_WAIT;
    }
    int8_t *arena = state->arena.bytes;
    for (int32_t step = 0; step < ACULA_STEPS; ++step) {
        acula_network_step(step, state->head, arena);
    }
    (void)memcpy(result->embedding, arena + ACULA_EMBEDDING_OFFSET, sizeof result->embedding);
    (void)memcpy(result->logits, arena + ACULA_LOGITS_OFFSET, sizeof result->logits);
    acula_probabilities(result->logits, result->probabilities);
    acula_restart(state);
    return ACULA_OK;
}
