/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that come and go.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include "bench.h"

#include <sys/wait.h>

/* A child, once it is there: in place of one that has ended or is about to. */
static bool replaced(pid_t *child)
{
	int status;

	if (*child && (waitpid(*child, &status, 0) != *child || status))
		fail("a child ended with %d", status);
	*child = fork();
	if (*child < 0)
		fail("fork: %s", strerror(errno));
	return !*child;
}

static void wait_for(pid_t *children, size_t count)
{
	int status;

	for (size_t child = 0; child < count; child++)
		if (children[child] && (waitpid(children[child], &status, 0) != children[child] || status))
			fail("a child ended with %d", status);
}

#endif
