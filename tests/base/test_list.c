/* SPDX-License-Identifier: BSD-3-Clause */
/* The list against an array that holds the same order. */
#include "test.h"
#include <osv/list.h>
#include <osv/prng.h>

#define ITEMS 64

struct item {
    int value;
    struct list link;
};

static void check_same(struct list *head, const int *values, size_t count)
{
    size_t at = 0;
    list_for_each (node, head) {
        CHECK(at < count);
        CHECK_EQ(list_entry(node, struct item, link)->value, values[at]);
        CHECK(node->next->prev == node && node->prev->next == node);
        at++;
    }
    CHECK_EQ(at, count);
    CHECK_EQ(list_empty(head), count == 0);
}

static void pushes_and_pops_at_both_ends(void)
{
    struct list head = LIST_INIT(head);
    struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
    CHECK(list_empty(&head));
    CHECK(!list_pop_front(&head));
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    check_same(&head, (int[]){0, 1, 2}, 3);
    for (int i = 0; i < 3; i++)
        CHECK(list_pop_front(&head) == &items[i].link);
    CHECK(list_empty(&head));
}

static void removing_twice_is_harmless(void)
{
    struct list head = LIST_INIT(head);
    struct item a = {.value = 1}, b = {.value = 2};
    list_push_back(&head, &a.link);
    list_push_back(&head, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    check_same(&head, (int[]){2}, 1);
}

static void splice_moves_everything_to_the_back(void)
{
    struct list to = LIST_INIT(to), from = LIST_INIT(from);
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_splice_back(&to, &from);
    CHECK(list_empty(&to));
    list_push_back(&to, &items[0].link);
    list_push_back(&to, &items[1].link);
    list_push_back(&from, &items[2].link);
    list_push_back(&from, &items[3].link);
    list_splice_back(&to, &from);
    check_same(&to, (int[]){0, 1, 2, 3}, 4);
    CHECK(list_empty(&from));
    list_splice_back(&from, &to);
    check_same(&from, (int[]){0, 1, 2, 3}, 4);
}

static void iteration_survives_removal(void)
{
    struct list head = LIST_INIT(head);
    struct item items[6];
    for (int i = 0; i < 6; i++) {
        items[i].value = i;
        list_push_back(&head, &items[i].link);
    }
    list_for_each_safe (node, &head) {
        if (list_entry(node, struct item, link)->value % 2 == 0)
            list_remove(node);
    }
    check_same(&head, (int[]){1, 3, 5}, 3);
}

static void random_operations_match_an_array(void)
{
    struct prng prng;
    prng_seed(&prng, 1);
    struct list head = LIST_INIT(head);
    struct item items[ITEMS];
    int order[ITEMS];
    bool in[ITEMS] = {false};
    size_t count = 0;
    for (int i = 0; i < ITEMS; i++)
        items[i].value = i;
    for (size_t step = 0; step < test_scaled(20000); step++) {
        size_t pick = prng_below(&prng, ITEMS), at = 0;
        if (!in[pick] && prng_below(&prng, 2)) {
            list_push_back(&head, &items[pick].link);
            order[count++] = (int)pick;
            in[pick] = true;
        } else if (!in[pick]) {
            list_push_front(&head, &items[pick].link);
            for (size_t i = count++; i > 0; i--)
                order[i] = order[i - 1];
            order[0] = (int)pick;
            in[pick] = true;
        } else {
            list_remove(&items[pick].link);
            while (order[at] != (int)pick)
                at++;
            for (count--; at < count; at++)
                order[at] = order[at + 1];
            in[pick] = false;
        }
        check_same(&head, order, count);
    }
}

TEST_CASES_BEGIN
    {.name = "list: pushes and pops at both ends", .run = pushes_and_pops_at_both_ends},
    {.name = "list: removing twice is harmless", .run = removing_twice_is_harmless},
    {.name = "list: splice moves everything to the back",
     .run = splice_moves_everything_to_the_back},
    {.name = "list: iteration survives removal", .run = iteration_survives_removal},
    {.name = "list: random operations match an array", .run = random_operations_match_an_array},
TEST_CASES_END
