// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages on their way to a disk that does not answer, and pages that another has isolated for long.
 *
 * The disk is a loop device on a file whose file system is frozen: what is written to it stays
 * under writeback until the thaw, and who migrates such a page synchronously holds it isolated
 * meanwhile.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define SIZE (16L << 20)
#define GUARD_MS 15000

FIXTURE(writeback)
{
	struct machine machine;
	char folder[40];
	int outer, inner, disk;
	int frozen;
	pid_t guard;
	char *page;
	__u64 paddr;
};

/* A loop device on a file: its descriptor, or -1. */
static int loop_on(int file, char *path, size_t size)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), device = -1, number;

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (number < 0)
		return -1;
	snprintf(path, size, "/dev/loop%d", number);
	device = open(path, O_RDWR | O_CLOEXEC);
	if (device >= 0 && ioctl(device, LOOP_SET_FD, file)) {
		close(device);
		return -1;
	}
	return device;
}

static int make_ext4(const char *device)
{
	pid_t child = fork_or_die();

	if (!child) {
		execlp("mke2fs", "mke2fs", "-q", "-F", "-t", "ext4", device, NULL);
		_exit(127);
	}
	return join(child);
}

/*
 * Whoever dies with the file system frozen waits for its own writeback in exit(2), and all others
 * wait for it. So somebody thaws it if nobody else does.
 */
static pid_t guard_against_frost(int folder)
{
	pid_t guard = fork();

	if (!guard) {
		sleep_ms(GUARD_MS);
		ioctl(folder, FITHAW, 0);
		_exit(0);
	}
	return guard;
}

FIXTURE_SETUP(writeback)
{
	const char *missing = machine_open(&self->machine);
	char path[40], file_path[80];
	int memory, file;

	self->outer = -1;
	self->inner = -1;
	self->disk = -1;
	self->frozen = -1;
	if (missing)
		SKIP(return, "%s", missing);
	memory = memfd_create("disk", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(memory, SIZE));
	self->outer = loop_on(memory, path, sizeof(path));
	if (self->outer < 0)
		SKIP(return, "needs a kernel with CONFIG_BLK_DEV_LOOP");
	if (make_ext4(path))
		SKIP(return, "needs mke2fs");
	snprintf(self->folder, sizeof(self->folder), "/tmp/move_phy_pages.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	ASSERT_EQ(0, mount(path, self->folder, "ext4", 0, NULL));
	snprintf(file_path, sizeof(file_path), "%s/disk", self->folder);
	file = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(0, ftruncate(file, SIZE / 4));
	self->inner = loop_on(file, path, sizeof(path));
	ASSERT_LE(0, self->inner);
	close(file);

	self->disk = open(path, O_RDWR | O_CLOEXEC);
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->disk, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->page);
	allocate_from(MPOL_BIND, self->machine.fast);
	fill_page(self->page, 1);
	allocate_from(MPOL_DEFAULT, 0);
	ASSERT_EQ(0, fsync(self->disk));
	drain_lru_batches();
	self->paddr = paddr_of(self->page);

	/* Written again, and on its way. */
	self->frozen = open(self->folder, O_RDONLY | O_CLOEXEC);
	self->guard = guard_against_frost(self->frozen);
	ASSERT_LT(0, self->guard);
	ASSERT_EQ(0, ioctl(self->frozen, FIFREEZE, 0));
	fill_page(self->page, 2);
	EXPECT_EQ(0, sync_file_range(self->disk, 0, PAGE, SYNC_FILE_RANGE_WRITE));
	EXPECT_TRUE(page_has(self->paddr, KPF_WRITEBACK));
}

static void thaw(int *frozen)
{
	if (*frozen >= 0) {
		ioctl(*frozen, FITHAW, 0);
		close(*frozen);
	}
	*frozen = -1;
}

FIXTURE_TEARDOWN(writeback)
{
	thaw(&self->frozen);
	if (self->guard > 0) {
		kill(self->guard, SIGKILL);
		join(self->guard);
	}
	fsync(self->disk);
	munmap(self->page, PAGE);
	close(self->disk);
	ioctl(self->inner, LOOP_CLR_FD, 0);
	close(self->inner);
	/* A loop device lets go of its file a moment later. */
	for (int tries = 0; umount(self->folder) && errno == EBUSY && tries < 100; tries++)
		sleep_ms(10);
	EXPECT_EQ(0, rmdir(self->folder));
	ioctl(self->outer, LOOP_CLR_FD, 0);
	close(self->outer);
	EXPECT_TRUE(machine_settled(&self->machine));
}

static bool busy(__u64 paddr, const struct machine *machine)
{
	int moved = move_one(paddr, machine->slow, MPOL_MF_MOVE_ALL);
	int stayed = move_one(paddr, machine->fast, MPOL_MF_MOVE);
	int queried = query_one(paddr);

	if (moved == -EBUSY && stayed == machine->fast && queried == machine->fast)
		return true;
	fprintf(stderr, "# moved %d, stayed %d, queried %d\n", moved, stayed, queried);
	return false;
}

TEST_F(writeback, a_page_under_writeback)
{
	double start = now_seconds();

	EXPECT_TRUE(busy(self->paddr, &self->machine));
	/* It is told so, and did not wait. */
	EXPECT_GT(2.0, now_seconds() - start);
	EXPECT_TRUE(page_has(self->paddr, KPF_WRITEBACK));
	thaw(&self->frozen);
	EXPECT_EQ(0, fsync(self->disk));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(self->page, 2));
}

static void *move_synchronously(void *page)
{
	struct machine machine;

	if (!machine_open(&machine))
		move_virtual(page, machine.slow, MPOL_MF_MOVE);
	return NULL;
}

TEST_F(writeback, a_page_that_another_has_isolated)
{
	pthread_t other;

	EXPECT_EQ(0, pthread_create(&other, NULL, move_synchronously, self->page));
	for (int tries = 0; page_has(self->paddr, KPF_LRU) && tries < 500; tries++)
		sleep_ms(10);
	EXPECT_FALSE(page_has(self->paddr, KPF_LRU));
	EXPECT_EQ(self->machine.isolated + 1, vm_counter("nr_isolated_file") +
					      vm_counter("nr_isolated_anon"));
	EXPECT_TRUE(busy(self->paddr, &self->machine));
	EXPECT_FALSE(page_has(self->paddr, KPF_LRU));
	thaw(&self->frozen);
	EXPECT_EQ(0, pthread_join(other, NULL));
	EXPECT_EQ(self->machine.slow, node_of(self->page));
	EXPECT_EQ(self->machine.fast, move_patiently(paddr_of(self->page), self->machine.fast,
						     MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(self->page, 2));
}

TEST_HARNESS_MAIN
