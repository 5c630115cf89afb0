/* SPDX-License-Identifier: BSD-3-Clause */
/* Weak AVL tree: Haeupler, Sen and Tarjan, "Rank-Balanced Trees", ACM TALG 11(4), 2015, section 3.
 *
 * Every node has a rank; an absent child has rank -1. The difference between a node's rank and its
 * child's is called the child's. Invariants:
 *
 * T1: every difference is 1 or 2.
 *
 * T2: a node without children has rank 0.
 *
 * T3: tree->first is the leftmost node.
 *
 * Height is at most 2 log2 n, and 1.44 log2 n while nothing was removed (then it is an AVL tree).
 * Insertion and removal change O(1) ranks amortised and rotate at most twice, where a red-black
 * removal rotates three times.
 *
 * Only the parity of the rank is stored, in bit 0 of the parent's address: two nodes of different
 * parity are 1 apart by T1 and two of the same are 2 apart; while rebalancing, a difference of 0 or
 * 3 can exist in one known place only. */
#include <osv/tree.h>

static struct tree_node *parent_of(const struct tree_node *node)
{
    return (struct tree_node *)(node->parent_parity & ~(uintptr_t)1);
}

static void set_parent(struct tree_node *node, struct tree_node *parent)
{
    node->parent_parity = (uintptr_t)parent | (node->parent_parity & 1);
}

static unsigned parity(const struct tree_node *node)
{
    return node ? (unsigned)(node->parent_parity & 1) : 1;
}

/* One rank up or down: with parities it is the same. */
static void flip(struct tree_node *node)
{
    node->parent_parity ^= 1;
}

static enum tree_side side_in(const struct tree_node *parent, const struct tree_node *child)
{
    return parent->child[TREE_RIGHT] == child ? TREE_RIGHT : TREE_LEFT;
}

static enum tree_side other(enum tree_side side)
{
    return side == TREE_LEFT ? TREE_RIGHT : TREE_LEFT;
}

/* Puts child (which may be NULL) where old is in parent (NULL: the root). */
static void replace_child(struct tree *tree, struct tree_node *parent, struct tree_node *old,
                          struct tree_node *child)
{
    if (parent)
        parent->child[side_in(parent, old)] = child;
    else
        tree->root = child;
    if (child)
        set_parent(child, parent);
}

/* Lifts top->child[side] over top. Ranks are the caller's business. */
static void rotate_up(struct tree *tree, struct tree_node *top, enum tree_side side)
{
    struct tree_node *lifted = top->child[side];
    struct tree_node *inner = lifted->child[other(side)];
    replace_child(tree, parent_of(top), top, lifted);
    top->child[side] = inner;
    if (inner)
        set_parent(inner, top);
    lifted->child[other(side)] = top;
    set_parent(top, lifted);
}

/* Insertion: node may be 0 below its parent. Promote parents until that is repaired or a rotation
 * ends it. */
void tree_rebalance_(struct tree *tree, struct tree_node *node)
{
    struct tree_node *parent = parent_of(node);
    while (parent && parity(node) == parity(parent)) {
        enum tree_side side = side_in(parent, node);
        if (parity(parent->child[other(side)]) != parity(parent)) {
            flip(parent);
            node = parent;
            parent = parent_of(node);
            continue;
        }
        struct tree_node *inner = node->child[other(side)];
        if (parity(inner) == parity(node)) {
            rotate_up(tree, parent, side);
        } else {
            rotate_up(tree, node, other(side));
            rotate_up(tree, parent, side);
            flip(node);
            flip(inner);
        }
        flip(parent);
        return;
    }
}

/* The rotation that ends a removal: the child of parent at side is 3 below it and sibling is 1
 * below. */
static void remove_rotate(struct tree *tree, struct tree_node *parent, enum tree_side side,
                          struct tree_node *sibling)
{
    if (parity(sibling->child[other(side)]) != parity(sibling)) {
        rotate_up(tree, parent, other(side));
        flip(sibling);
        if (parent->child[TREE_LEFT] || parent->child[TREE_RIGHT])
            flip(parent); /* otherwise it falls by two, to rank 0, for T2 */
    } else {
        rotate_up(tree, sibling, side);
        rotate_up(tree, parent, other(side));
        flip(sibling); /* the inner child rises by two and the parent falls by two */
    }
}

/* Removal: the child of parent at side lost one rank, so it is 2 or 3 below. */
static void remove_rebalance(struct tree *tree, struct tree_node *parent, enum tree_side side)
{
    struct tree_node *node = parent->child[side];
    if (!node && !parent->child[other(side)] && parity(parent) == 1) {
        flip(parent); /* a leaf of rank 1, against T2 */
        node = parent;
        parent = parent_of(node);
    }
    while (parent && parity(node) != parity(parent)) {
        /* node may be NULL in the first round, and then its sibling is not: parent has rank 2 */
        if (node)
            side = side_in(parent, node);
        struct tree_node *sibling = parent->child[other(side)];
        if (parity(sibling) != parity(parent)) {
            if (parity(sibling->child[TREE_LEFT]) != parity(sibling) ||
                parity(sibling->child[TREE_RIGHT]) != parity(sibling)) {
                remove_rotate(tree, parent, side, sibling);
                return;
            }
            flip(sibling);
        }
        flip(parent);
        node = parent;
        parent = parent_of(node);
    }
}

void tree_remove(struct tree *tree, struct tree_node *node)
{
    DASSERT(tree_node_linked(node));
    if (tree->first == node)
        tree->first = tree_next(node);

    struct tree_node *parent, *child;
    enum tree_side side = TREE_LEFT;
    if (!node->child[TREE_LEFT] || !node->child[TREE_RIGHT]) {
        child = node->child[TREE_LEFT] ? node->child[TREE_LEFT] : node->child[TREE_RIGHT];
        parent = parent_of(node);
        if (parent)
            side = side_in(parent, node);
        replace_child(tree, parent, node, child);
    } else {
        /* The successor, which has no left child, leaves its place and takes node's place and rank.
         */
        struct tree_node *next = node->child[TREE_RIGHT];
        while (next->child[TREE_LEFT])
            next = next->child[TREE_LEFT];
        child = next->child[TREE_RIGHT];
        parent = parent_of(next);
        if (parent == node) {
            parent = next;
            side = TREE_RIGHT;
        } else {
            replace_child(tree, parent, next, child);
            next->child[TREE_RIGHT] = node->child[TREE_RIGHT];
            set_parent(next->child[TREE_RIGHT], next);
        }
        next->child[TREE_LEFT] = node->child[TREE_LEFT];
        set_parent(next->child[TREE_LEFT], next);
        next->parent_parity = node->parent_parity;
        replace_child(tree, parent_of(node), node, next);
    }
    tree_node_init(node);
    if (parent)
        remove_rebalance(tree, parent, side);
}

struct tree_node *tree_last(const struct tree *tree)
{
    struct tree_node *node = tree->root;
    while (node && node->child[TREE_RIGHT])
        node = node->child[TREE_RIGHT];
    return node;
}

static struct tree_node *neighbour(const struct tree_node *node, enum tree_side side)
{
    struct tree_node *at = node->child[side];
    if (at) {
        while (at->child[other(side)])
            at = at->child[other(side)];
        return at;
    }
    for (at = parent_of(node); at && at->child[side] == node; at = parent_of(at))
        node = at;
    return at;
}

struct tree_node *tree_next(const struct tree_node *node)
{
    return neighbour(node, TREE_RIGHT);
}

struct tree_node *tree_prev(const struct tree_node *node)
{
    return neighbour(node, TREE_LEFT);
}

#define RANK_BROKEN (-2)

/* The rank of the subtree at node, or RANK_BROKEN; checks T1, T2 and the links to parents. */
static int check_rank(const struct tree_node *node, const struct tree_node *parent)
{
    if (!node)
        return -1;
    if (parent_of(node) != parent)
        return RANK_BROKEN;
    int left = check_rank(node->child[TREE_LEFT], node);
    int right = check_rank(node->child[TREE_RIGHT], node);
    if (left == RANK_BROKEN || right == RANK_BROKEN)
        return RANK_BROKEN;
    if (left == -1 && right == -1)
        return parity(node) == 0 ? 0 : RANK_BROKEN;
    int by_left = left + (parity(node) == parity(node->child[TREE_LEFT]) ? 2 : 1);
    int by_right = right + (parity(node) == parity(node->child[TREE_RIGHT]) ? 2 : 1);
    return by_left == by_right ? by_left : RANK_BROKEN;
}

bool tree_check(const struct tree *tree, tree_less *less)
{
    if (check_rank(tree->root, NULL) == RANK_BROKEN)
        return false;
    const struct tree_node *least = tree->root;
    while (least && least->child[TREE_LEFT])
        least = least->child[TREE_LEFT];
    if (tree->first != least)
        return false;
    for (const struct tree_node *at = least, *next; at; at = next) {
        next = tree_next(at);
        if (next && less(next, at))
            return false;
    }
    return true;
}
