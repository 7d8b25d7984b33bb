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
    acula_memory_t *memory = &state->memory;
    for (int32_t i = 0; i < acula_past_count; ++i) {
        const acula_past_t *past = &acula_pasts[i];
        (void)memset(memory->arena.bytes + past->offset, past->zero, (size_t)past->kept);
    }
    (void)memset(memory->sums, 0, sizeof memory->sums);
    (void)memset(state->frontend.samples + ACULA_WINDOW_SAMPLES, 0, 2u * sizeof state->frontend.samples[0]);
    memory->hops = 0;
    state->filled = 0;
    state->frame = 0;
    state->heard = 0;
}

/* The window is full: its frame, then the samples that the next window shares with it move to its start. */
static void end_window(acula_state_t *state)
{
    acula_frontend_t *frontend = &state->frontend;
    if (state->memory.hops < ACULA_HOPS) {
        acula_frontend_frame(frontend, state->frame, state->memory.arena.bytes + ACULA_FEATURES_OFFSET);
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
    size_t done = 0;
    while ((done < count) && (state->frame < ACULA_HOP_FRAMES)) {
        if (state->heard == ACULA_CLIP_SAMPLES) {
            acula_restart(state);
        }
        const size_t left = smaller(count - done, ACULA_CLIP_SAMPLES - state->heard);
        const size_t part = smaller(left, ACULA_WINDOW_SAMPLES - state->filled);
        (void)memcpy(state->frontend.samples + state->filled, pcm + done, part * sizeof pcm[0]);
        state->filled += (int32_t)part;
        state->heard += (int32_t)part;
        done += part;
        if (state->filled == ACULA_WINDOW_SAMPLES) {
            end_window(state);
        }
    }
    return done;
}

/* The newest rows of each map move to where the next hop looks for its past. */
static void keep_pasts(int8_t *arena)
{
    for (int32_t i = 0; i < acula_past_count; ++i) {
        const acula_past_t *past = &acula_pasts[i];
        int8_t *start = arena + past->offset;
        (void)memmove(start, start + past->fresh, (size_t)past->kept);
    }
}

acula_status_t acula_poll(acula_state_t *state, acula_result_t *result)
{
    if (state->frame < ACULA_HOP_FRAMES) {
        return ACULA_WAIT;
    }
    acula_memory_t *memory = &state->memory;
    memory->hops += 1;
    for (int32_t step = 0; step < ACULA_STEPS; ++step) {
        acula_network_step(step, state->head, memory);
    }
    keep_pasts(memory->arena.bytes);
    (void)memcpy(result->embedding, memory->arena.bytes + ACULA_EMBEDDING_OFFSET, sizeof result->embedding);
    (void)memcpy(result->logits, memory->arena.bytes + ACULA_LOGITS_OFFSET, sizeof result->logits);
    acula_probabilities(result->logits, result->probabilities);
    result->hops = memory->hops;
    result->whole = memory->hops == ACULA_HOPS;
    state->frame = 0;
    return ACULA_OK;
}
