// SPDX-License-Identifier: Apache-2.0
// Which of the mistakes built into a model (mistakes.py) this run makes: the number in ESPALIER_MUTANT, none
// without it.
#pragma once
#include <cstdlib>

static inline int mutant_of_this_run()
{
    const char *number = std::getenv("ESPALIER_MUTANT");
    return number ? std::atoi(number) : 0;
}
