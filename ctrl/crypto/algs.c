// SPDX-License-Identifier: Apache-2.0
#include "ctrl/crypto/algs.h"

#include <stdlib.h>

struct cr_algs *cr_algs_new(void)
{
    return calloc(1, sizeof(struct cr_algs));
}

void cr_algs_free(struct cr_algs *a)
{
    if (!a)
        return;
    for (int i = 0; i < CR_PRFS; i++)
        EVP_MD_free(a->prf[i].kept);
    for (int i = 0; i < CR_CIPHERS; i++)
        EVP_CIPHER_free(a->cipher[i]);
    for (int i = 0; i < CR_XS; i++)
        x_curve_close(&a->x[i]);
    free(a);
}
