// The process that holds a pod's namespaces open: it sleeps, reaps orphans, and goes when it is told to.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number)
{
	(void)number;
	_exit(0);
}

static void reap(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(void)
{
	const struct sigaction leaving = { .sa_handler = leave };
	const struct sigaction reaping = { .sa_handler = reap, .sa_flags = SA_NOCLDSTOP };

	if (sigaction(SIGTERM, &leaving, NULL) || sigaction(SIGINT, &leaving, NULL) ||
	    sigaction(SIGCHLD, &reaping, NULL))
		return 1;
	for (;;)
		pause();
}
