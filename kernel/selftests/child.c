// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "host.h"

pid_t fork_or_die(void)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid < 0)
		fatal("fork");
	if (!pid && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(1);
	return pid;
}

int join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal("waitpid %d", pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool child_start(struct child *child)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		fatal("socketpair");
	child->pid = fork_or_die();
	child->socket = ends[!child->pid];
	close(ends[!!child->pid]);
	return !child->pid;
}

void child_step(struct child *child)
{
	char byte = 0;

	if (write(child->socket, &byte, 1) != 1 || read(child->socket, &byte, 1) != 1)
		_exit(1);
}

bool child_stepped(struct child *child)
{
	char byte;

	return read(child->socket, &byte, 1) == 1;
}

void child_go_on(struct child *child)
{
	char byte = 0;

	if (send(child->socket, &byte, 1, MSG_NOSIGNAL) != 1)
		fprintf(stderr, "# child %d has ended\n", child->pid);
}

int child_end(struct child *child)
{
	close(child->socket);
	return join(child->pid);
}

int child_finish(struct child *child)
{
	child_go_on(child);
	return child_end(child);
}

void *map_shared(size_t size)
{
	void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		fatal("a shared mapping of %zu bytes", size);
	return start;
}
