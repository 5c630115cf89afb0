/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive ordered tree: a weak AVL tree, whose design note is in src/base/tree.c. The node is
 * embedded in the user's struct; the user compares while descending, inline. The first node is
 * cached, so that a queue by key costs O(1) to look at. Equal keys are allowed and keep the order
 * in which tree_insert() took them.
 *
 * Locks: the owner of the tree provides them. Context: any. Nothing allocates and nothing can fail.
 */
#pragma once
#include <osv/assert.h>
#include <osv/types.h>

enum tree_side { TREE_LEFT = 0, TREE_RIGHT = 1 };

struct tree_node {
    uintptr_t parent_parity; /* the parent's address; bit 0 is the rank's parity */
    struct tree_node *child[2];
};

struct tree {
    struct tree_node *root;
    struct tree_node *first; /* the least node; NULL when empty */
};

#define TREE_INIT                                                                                  \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

typedef bool tree_less(const struct tree_node *a, const struct tree_node *b);

static inline void tree_init(struct tree *tree)
{
    tree->root = tree->first = NULL;
}

static inline bool tree_empty(const struct tree *tree)
{
    return !tree->root;
}

/* Marks a node as being in no tree, which tree_remove() does as well. Needed only before
 * tree_node_linked(). */
static inline void tree_node_init(struct tree_node *node)
{
    node->parent_parity = (uintptr_t)node;
}

/* Is node in a tree? */
static inline bool tree_node_linked(const struct tree_node *node)
{
    return (node->parent_parity & ~(uintptr_t)1) != (uintptr_t)node;
}

/* The least node, O(1), or NULL. */
static inline struct tree_node *tree_first(const struct tree *tree)
{
    return tree->first;
}

/* The greatest node, O(log n), or NULL. */
struct tree_node *tree_last(const struct tree *tree);

/* The neighbour in order, or NULL at the end: O(log n), O(1) on average over a walk. node must be
 * in a tree. */
struct tree_node *tree_next(const struct tree_node *node);
struct tree_node *tree_prev(const struct tree_node *node);

/* Takes node out of tree, in which it must be: O(log n), at most two rotations. */
void tree_remove(struct tree *tree, struct tree_node *node);

/* Restores balance after tree_link() put a leaf under parent; not for users. */
void tree_rebalance_(struct tree *tree, struct tree_node *node);

/* Makes node a leaf of tree at parent->child[side], which the caller found to be NULL and to be
 * node's place in the order; parent is NULL for the root of an empty tree. Amortised O(1) after the
 * descent. */
static inline void tree_link(struct tree *tree, struct tree_node *node, struct tree_node *parent,
                             enum tree_side side)
{
    node->parent_parity = (uintptr_t)parent;
    node->child[TREE_LEFT] = node->child[TREE_RIGHT] = NULL;
    if (!parent) {
        DASSERT(!tree->root);
        tree->root = tree->first = node;
        return;
    }
    DASSERT(!parent->child[side]);
    parent->child[side] = node;
    if (parent == tree->first && side == TREE_LEFT)
        tree->first = node;
    tree_rebalance_(tree, node);
}

/* Adds node, behind those that are equal. less is inlined where it is visible. */
ALWAYS_INLINE void tree_insert(struct tree *tree, struct tree_node *node, tree_less *less)
{
    struct tree_node *parent = NULL;
    enum tree_side side = TREE_LEFT;
    for (struct tree_node *at = tree->root; at; at = at->child[side]) {
        parent = at;
        side = less(node, at) ? TREE_LEFT : TREE_RIGHT;
    }
    tree_link(tree, node, parent, side);
}

/* The first node for which before(node, key) is false, or NULL. before must hold for a prefix of
 * the order: with "node's key < key" this is the lower bound, with "node's key <= key" the upper
 * bound. */
ALWAYS_INLINE struct tree_node *
tree_lower_bound(const struct tree *tree,
                 bool (*before)(const struct tree_node *node, const void *key), const void *key)
{
    struct tree_node *found = NULL;
    for (struct tree_node *at = tree->root; at;) {
        if (before(at, key)) {
            at = at->child[TREE_RIGHT];
        } else {
            found = at;
            at = at->child[TREE_LEFT];
        }
    }
    return found;
}

/* Do all invariants hold, and the order by less? O(n), recursion as deep as the tree (at most 2
 * log2 n). */
MUST_CHECK bool tree_check(const struct tree *tree, tree_less *less);

#define tree_entry(node, type, member) container_of(node, type, member)

/* In order; the body must not change the tree. */
#define tree_for_each(node, tree)                                                                  \
    for (struct tree_node *node = tree_first(tree); node; node = tree_next(node))
