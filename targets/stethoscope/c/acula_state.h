/* What the library's own files do with a state. */
#ifndef ACULA_STATE_H
#define ACULA_STATE_H

#include "acula.h"

/* The last layers as they were built in. */
void acula_built_in_head(acula_state_t *state);

#endif
