/* A hop of the library layer by layer, for a program that looks at the arena in between. Host only. */
#include "acula.h"
#include "acula_network.h"

size_t acula_probe_state_bytes(void);
void acula_probe_begin(acula_state_t *state);
void acula_probe_step(acula_state_t *state, int32_t step);

size_t acula_probe_state_bytes(void)
{
    return sizeof(acula_state_t);
}

/* The hop whose features are complete begins. */
void acula_probe_begin(acula_state_t *state)
{
    state->memory.hops += 1;
}

void acula_probe_step(acula_state_t *state, int32_t step)
{
    acula_network_step(step, state->head, &state->memory);
}
