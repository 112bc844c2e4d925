// SPDX-License-Identifier: Apache-2.0
// An SA that is there can always be deleted: no engine needs memory for that, so its keys go when they have
// to.
#include "card_rig.h"

#include "tests/unit/no_memory.h"

static void delete_without_memory(struct esp_engine *e, struct esp_sa *sa)
{
    struct esp_event ev;

    no_memory_from(1);
    int rc = e->ops->sa_delete(e, sa);
    assert_false(no_memory_end());
    assert_int_equal(rc, 0);
    ev = next_event(e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_ptr_equal(ev.sa, sa);
}

static void test_card_deletes_without_memory(void **state)
{
    struct fixture *f = *state;

    add_pair(f);
    delete_without_memory(f->e, f->tx);
    delete_without_memory(f->e, f->rx);
}

static void test_software_deletes_without_memory(void **state)
{
    struct esp_sa_params p = card_params(ESP_OUT, 9);
    struct esp_engine *e;
    struct esp_error err;
    struct esp_sa *sa;

    (void)state;
    assert_int_equal(esp_soft_open(&e, &err), 0);
    assert_int_equal(e->ops->sa_add(e, &p, NULL, &sa, &err), 0);
    assert_int_equal(next_event(e).type, ESP_EVENT_SA_ADDED);
    delete_without_memory(e, sa);
    e->ops->destroy(e);
}

// The queue's own thread is told; here the test is that thread too.
static void test_software_of_many_threads_deletes_without_memory(void **state)
{
    struct esp_sa_params p = card_params(ESP_OUT, 9);
    struct esp_job *none[1];
    struct esp_engine *e;
    struct esp_error err;
    struct esp_event ev;
    struct esp_sa *sa;

    (void)state;
    assert_int_equal(esp_soft_open_queues(&e, 2, &err), 0);
    p.queue = 1;
    assert_int_equal(e->ops->sa_add(e, &p, NULL, &sa, &err), 0);
    (void)e->queue[1]->ops->poll(e->queue[1], none, 1);
    assert_int_equal(next_event(e).type, ESP_EVENT_SA_ADDED);
    no_memory_from(1);
    int rc = e->ops->sa_delete(e, sa);
    assert_false(no_memory_end());
    assert_int_equal(rc, 0);
    assert_int_equal(e->ops->events(e, &ev, 1), 0);
    (void)e->queue[1]->ops->poll(e->queue[1], none, 1);
    assert_int_equal(next_event(e).type, ESP_EVENT_SA_DELETED);
    e->ops->destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_card_deletes_without_memory, rig_setup, rig_teardown),
        cmocka_unit_test(test_software_deletes_without_memory),
        cmocka_unit_test(test_software_of_many_threads_deletes_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
