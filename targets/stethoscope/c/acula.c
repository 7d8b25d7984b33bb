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

static void hear(acula_state_t *state, int16_t sample)
{
    acula_frontend_t *frontend = &state->frontend;
    frontend->samples[state->filled] = sample;
    state->filled += 1;
    state->heard += 1;
    if (state->filled == ACULA_WINDOW_SAMPLES) {
        if (state->frame < ACULA_N_FRAMES) {
            acula_frontend_frame(frontend, state->frame, state->arena.bytes + ACULA_FEATURES_OFFSET);
            state->frame += 1;
        }
        state->filled = ACULA_WINDOW_SAMPLES - ACULA_HOP_SAMPLES;
        (void)memmove(frontend->samples, frontend->samples + ACULA_HOP_SAMPLES,
                      (size_t)state->filled * sizeof frontend->samples[0]);
    }
}

size_t acula_push_pcm(acula_state_t *state, const int16_t *pcm, size_t count)
{
    size_t taken = 0;
    while ((taken < count) && (state->heard < ACULA_CLIP_SAMPLES)) {
        hear(state, pcm[taken]);
        ++taken;
    }
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
