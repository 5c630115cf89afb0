/* SPDX-License-Identifier: BSD-3-Clause */
/* liburcu, flavour memb, in a file of its own: its names are ours too. */
#pragma once

void peer_urcu_register(void);
void peer_urcu_unregister(void);
/* count pairs of read lock and unlock, inlined. */
void peer_urcu_pairs(unsigned count);
