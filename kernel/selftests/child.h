/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that do one step at a time, each when their parent says so, and do not outlive it.
 */
#ifndef MOVE_PHY_PAGES_CHILD_H
#define MOVE_PHY_PAGES_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int socket;
};

pid_t fork_or_die(void);
/* The child's exit status, or 128 and the signal that killed it. */
int join(pid_t pid);

/* Like fork(2): true in the child, which goes on until child_step(). */
bool child_start(struct child *child);
/* In the child: a step is done; returns when the parent wants the next. */
void child_step(struct child *child);
/* In the parent: wait until the child has done a step. False when it ended instead. */
bool child_stepped(struct child *child);
/* In the parent: let it do the next step. */
void child_go_on(struct child *child);
/* In the parent: wait for its end. */
int child_end(struct child *child);
/* In the parent: let it do its last step, and wait for its end. */
int child_finish(struct child *child);

/* Zeroed memory that children see too. */
void *map_shared(size_t size);

#endif
