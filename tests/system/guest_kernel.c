// SPDX-License-Identifier: Apache-2.0
// The driver's kernel engine on a kernel that has ESP and AH, which this machine's may not have:
// kernel_guest.c in a virtual machine.
#include <stdio.h>
#include <stdlib.h>

#include "tests/system/guest.h"
#include "tests/system/harness.h"

int main(void)
{
    const struct guest_options o = {.files = getenv("ESPALIER_GUEST"),
                                    .image = getenv("ESPALIER_GUEST_IMAGE")};
    static char said[60000];
    struct guest g;
    if (!o.files || !o.image) {
        fprintf(stderr, "ESPALIER_GUEST and ESPALIER_GUEST_IMAGE name no guest (make check-qemu)\n");
        return 2;
    }
    if (!guest_start(&g, &o))
        return 1;
    int rc = guest_run(&g, said, sizeof(said), "kernel_guest");
    printf("%s", said);
    guest_stop(&g);
    return rc ? 1 : 0;
}
