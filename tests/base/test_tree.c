/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree against a sorted array; keys repeat, and equal keys keep the order of insertion. */
#include "test.h"
#include <osv/prng.h>
#include <osv/tree.h>

#define ITEMS 300

struct item {
    int key;
    struct tree_node node;
};

static int key_of(const struct tree_node *node)
{
    return tree_entry(node, struct item, node)->key;
}

static bool less(const struct tree_node *a, const struct tree_node *b)
{
    return key_of(a) < key_of(b);
}

static bool before(const struct tree_node *node, const void *key)
{
    return key_of(node) < *(const int *)key;
}

static bool before_or_at(const struct tree_node *node, const void *key)
{
    return key_of(node) <= *(const int *)key;
}

static void check_same(const struct tree *tree, struct item *const *sorted, size_t count)
{
    CHECK(tree_check(tree, less));
    CHECK_EQ(tree_empty(tree), count == 0);
    CHECK(tree_first(tree) == (count ? &sorted[0]->node : NULL));
    CHECK(tree_last(tree) == (count ? &sorted[count - 1]->node : NULL));
    size_t at = 0;
    tree_for_each(node, tree)
    {
        CHECK(at < count);
        CHECK(node == &sorted[at]->node);
        CHECK(tree_prev(node) == (at ? &sorted[at - 1]->node : NULL));
        at++;
    }
    CHECK_EQ(at, count);
}

static int height(const struct tree_node *node)
{
    if (!node)
        return 0;
    int left = height(node->child[TREE_LEFT]), right = height(node->child[TREE_RIGHT]);
    return 1 + MAX(left, right);
}

static void an_empty_tree_has_no_nodes(void)
{
    struct tree tree = TREE_INIT;
    int key = 1;
    check_same(&tree, NULL, 0);
    CHECK(!tree_lower_bound(&tree, before, &key));
}

static void rising_falling_and_alternating_keys_stay_balanced(void)
{
    static struct item items[1024];
    for (int shape = 0; shape < 3; shape++) {
        struct tree tree = TREE_INIT;
        for (int i = 0; i < 1024; i++) {
            items[i].key = shape == 0 ? i : shape == 1 ? -i : (i % 2 ? i : -i);
            tree_insert(&tree, &items[i].node, less);
        }
        CHECK(tree_check(&tree, less));
        CHECK(height(tree.root) <= 14); /* 1.44 log2(1025) */
        for (int i = 0; i < 1024; i++) {
            tree_remove(&tree, &items[i].node);
            CHECK(!tree_node_linked(&items[i].node));
            CHECK(tree_check(&tree, less));
        }
        CHECK(tree_empty(&tree));
    }
}

static void bounds_find_the_ends_of_equal_keys(void)
{
    static struct item items[30];
    struct tree tree = TREE_INIT;
    for (int i = 0; i < 30; i++) {
        items[i].key = i / 3 * 2;
        tree_insert(&tree, &items[i].node, less);
    }
    for (int key = -1; key < 20; key++) {
        int low = key < 0 ? 0 : (key + 1) / 2 * 3, high = key < 0 ? 0 : (key / 2 + 1) * 3;
        CHECK(tree_lower_bound(&tree, before, &key) == (low < 30 ? &items[low].node : NULL));
        CHECK(tree_lower_bound(&tree, before_or_at, &key) ==
              (high < 30 ? &items[high].node : NULL));
    }
}

static void check_notices_damage(void)
{
    static struct item items[7];
    struct tree tree = TREE_INIT;
    for (int i = 0; i < 7; i++) {
        items[i].key = i;
        tree_insert(&tree, &items[i].node, less);
    }
    CHECK(tree_check(&tree, less));
    items[3].key = 100; /* order */
    CHECK(!tree_check(&tree, less));
    items[3].key = 3;
    items[0].node.parent_parity ^= 1; /* a leaf of rank 1 */
    CHECK(!tree_check(&tree, less));
    items[0].node.parent_parity ^= 1;
    tree.first = &items[1].node; /* cached first */
    CHECK(!tree_check(&tree, less));
    tree.first = &items[0].node;
    uintptr_t parent = items[0].node.parent_parity;
    items[0].node.parent_parity = (uintptr_t)&items[6].node | (parent & 1);
    CHECK(!tree_check(&tree, less));
    items[0].node.parent_parity = parent;
    CHECK(tree_check(&tree, less));
}

static void random_operations_match_a_sorted_array(void)
{
    static struct item items[ITEMS];
    struct item *sorted[ITEMS];
    struct tree tree;
    struct prng prng;
    size_t count = 0;
    tree_init(&tree);
    prng_seed(&prng, 2);
    for (size_t i = 0; i < ITEMS; i++)
        tree_node_init(&items[i].node);
    for (size_t step = 0; step < test_scaled(20000); step++) {
        struct item *item = &items[prng_below(&prng, ITEMS)];
        size_t at = 0;
        if (tree_node_linked(&item->node)) {
            tree_remove(&tree, &item->node);
            while (sorted[at] != item)
                at++;
            for (count--; at < count; at++)
                sorted[at] = sorted[at + 1];
        } else if (count < 10 || prng_below(&prng, 3)) {
            item->key = (int)prng_below(&prng, ITEMS);
            tree_insert(&tree, &item->node, less);
            while (at < count && sorted[at]->key <= item->key)
                at++;
            for (size_t i = count++; i > at; i--)
                sorted[i] = sorted[i - 1];
            sorted[at] = item;
        }
        check_same(&tree, sorted, count);
    }
}

TEST_CASES_BEGIN
    {.name = "tree: an empty tree has no nodes", .run = an_empty_tree_has_no_nodes},
    {.name = "tree: rising, falling and alternating keys stay balanced",
     .run = rising_falling_and_alternating_keys_stay_balanced},
    {.name = "tree: bounds find the ends of equal keys", .run = bounds_find_the_ends_of_equal_keys},
    {.name = "tree: check notices damage", .run = check_notices_damage},
    {.name = "tree: random operations match a sorted array",
     .run = random_operations_match_a_sorted_array},
TEST_CASES_END
