// SPDX-License-Identifier: Apache-2.0
// The keys of swanctl.conf: each of strongSwan 5.9.8's does something or is refused by name, and the manual
// says what the list says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/gen/table.h"
#include "ctrl/config/keys.h"

static void test_table_of_the_manual_is_that_of_the_list(void **state)
{
    (void)state;
    static char manual[65536];
    char *table = NULL;
    size_t len = 0;
    FILE *f = fopen("ctrl/config/README.md", "r");
    assert_non_null(f);
    manual[fread(manual, 1, sizeof(manual) - 1, f)] = 0;
    fclose(f);
    FILE *out = open_memstream(&table, &len);
    assert_non_null(out);
    table_print(out);
    fclose(out);
    char *begin = strstr(manual, TABLE_BEGIN), *end = strstr(manual, TABLE_END);
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen(TABLE_BEGIN);
    if ((size_t)(end - begin) != len || memcmp(begin, table, len) != 0)
        fail_msg("ctrl/config/README.md: the table of keys is not that of swanctl_keys.h: run `make "
                 "config-table`");
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_of_the_manual_is_that_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
