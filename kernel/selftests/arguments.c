// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may call, with what, and what a call says that cannot be done as a whole.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define MANY (MOVE_PHY_PAGES_MAX + 1)
#define UNKNOWN_FLAG 0x80000000U
#define NOWHERE ((void *)8)

FIXTURE(arguments)
{
	struct machine machine;
	char *page;
	__u64 paddr;
	__s32 node;
	__s32 status;
};

FIXTURE_SETUP(arguments)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	self->page = page_on(self->machine.fast);
	self->paddr = paddr_of(self->page);
	self->node = self->machine.slow;
	self->status = 77;
}

FIXTURE_TEARDOWN(arguments)
{
	EXPECT_TRUE(machine_settled(&self->machine));
}

TEST_F(arguments, number_and_version_can_be_read_by_all_and_written_by_none)
{
	struct stat found;

	EXPECT_EQ(MOVE_PHY_PAGES_ABI, read_number(CALL_SYSFS "/abi"));
	EXPECT_LT(0, read_number(CALL_SYSFS "/nr"));
	ASSERT_EQ(0, stat(CALL_SYSFS "/nr", &found));
	EXPECT_EQ(0444U, found.st_mode & 0777);
	ASSERT_EQ(0, stat(CALL_SYSFS "/abi", &found));
	EXPECT_EQ(0444U, found.st_mode & 0777);
}

TEST_F(arguments, nothing_to_do_is_no_error)
{
	EXPECT_EQ(0, move_phy_pages(0, NULL, NULL, NULL, 0));
	EXPECT_EQ(0, move_phy_pages(0, NOWHERE, NOWHERE, NOWHERE, MPOL_MF_MOVE_ALL));
}

TEST_F(arguments, no_flag_means_move)
{
	EXPECT_EQ(self->node, move_one(self->paddr, self->node, 0));
	EXPECT_EQ(self->node, node_of(self->page));
}

TEST_F(arguments, unknown_flags_are_refused)
{
	const unsigned int known = MPOL_MF_MOVE | MPOL_MF_MOVE_ALL | MOVE_PHY_PAGES_MLOCKED;

	for (unsigned int flag = 1; flag; flag <<= 1) {
		long expected = flag & known ? 0 : -EINVAL, result;

		self->node = self->machine.fast;
		result = move_phy_pages(1, &self->paddr, &self->node, &self->status, flag);
		EXPECT_EQ(expected, result)
			TH_LOG("flag %#x", flag);
		result = move_phy_pages(1, &self->paddr, NULL, &self->status, flag);
		EXPECT_EQ(expected, result)
			TH_LOG("flag %#x of a query", flag);
	}
	EXPECT_EQ(-EINVAL, move_phy_pages(0, NULL, NULL, NULL, UNKNOWN_FLAG | MPOL_MF_MOVE));
}

TEST_F(arguments, too_many_entries_are_refused)
{
	EXPECT_EQ(-E2BIG, move_phy_pages(MANY, &self->paddr, &self->node, &self->status, 0));
	EXPECT_EQ(-E2BIG, move_phy_pages(~0UL, &self->paddr, NULL, &self->status, 0));
	EXPECT_EQ(-E2BIG, move_phy_pages(1UL << 32, &self->paddr, NULL, &self->status, 0));
	EXPECT_EQ(-E2BIG, move_phy_pages(MANY, NOWHERE, NOWHERE, NOWHERE, 0));
	EXPECT_EQ(77, self->status);
}

TEST_F(arguments, flags_are_looked_at_before_the_count)
{
	EXPECT_EQ(-EINVAL, move_phy_pages(MANY, NOWHERE, NOWHERE, NOWHERE, UNKNOWN_FLAG));
}

TEST_F(arguments, as_many_entries_as_there_may_be)
{
	__u64 *paddrs = (void *)map_anon(MOVE_PHY_PAGES_MAX * sizeof(*paddrs));
	__s32 *nodes = (void *)map_anon(MOVE_PHY_PAGES_MAX * sizeof(*nodes));
	__s32 *status = (void *)map_anon(MOVE_PHY_PAGES_MAX * sizeof(*status));
	long wrong = 0;

	for (unsigned long i = 0; i < MOVE_PHY_PAGES_MAX; i++) {
		paddrs[i] = self->paddr;
		nodes[i] = self->node;
	}
	EXPECT_EQ(0, move_phy_pages(MOVE_PHY_PAGES_MAX, paddrs, NULL, status, 0));
	for (unsigned long i = 0; i < MOVE_PHY_PAGES_MAX; i++)
		wrong += status[i] != self->machine.fast;
	EXPECT_EQ(0, wrong);

	/* One page a million times: it moves once, and every entry says so. */
	EXPECT_EQ(0, move_phy_pages(MOVE_PHY_PAGES_MAX, paddrs, nodes, status, 0));
	for (unsigned long i = 0; i < MOVE_PHY_PAGES_MAX; i++)
		wrong += status[i] != self->node;
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(self->node, node_of(self->page));
}

static bool drop_admin(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return false;
	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	return !syscall(SYS_capset, &header, data);
}

static bool every_call_is_denied(__u64 paddr, __s32 node)
{
	__s32 status = 77;

	return move_phy_pages(1, &paddr, &node, &status, 0) == -EPERM &&
	       move_phy_pages(1, &paddr, NULL, &status, 0) == -EPERM &&
	       move_phy_pages(0, NULL, NULL, NULL, 0) == -EPERM &&
	       move_phy_pages(MANY, NOWHERE, NOWHERE, NOWHERE, UNKNOWN_FLAG) == -EPERM &&
	       status == 77;
}

TEST_F(arguments, without_the_capability_every_call_is_denied)
{
	pid_t child = fork_or_die();

	if (!child)
		_exit(!(drop_admin() && every_call_is_denied(self->paddr, self->node)));
	EXPECT_EQ(0, join(child));

	child = fork_or_die();
	if (!child)
		_exit(!(!setgroups(0, NULL) && !setresgid(65534, 65534, 65534) &&
			!setresuid(65534, 65534, 65534) &&
			every_call_is_denied(self->paddr, self->node)));
	EXPECT_EQ(0, join(child));
	EXPECT_EQ(self->machine.fast, node_of(self->page));
}

TEST_F(arguments, root_of_a_user_namespace_is_denied)
{
	pid_t child = fork_or_die();

	if (!child) {
		struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
		struct __user_cap_data_struct data[2];

		if (unshare(CLONE_NEWUSER))
			_exit(errno == EINVAL ? KSFT_SKIP : 1);
		/* It does have the capability there. */
		_exit(!(!syscall(SYS_capget, &header, data) &&
			data[0].effective & CAP_TO_MASK(CAP_SYS_ADMIN) &&
			every_call_is_denied(self->paddr, self->node)));
	}
	switch (join(child)) {
	case KSFT_SKIP:
		SKIP(return, "needs a kernel with CONFIG_USER_NS");
	case 0:
		break;
	default:
		EXPECT_TRUE(false) TH_LOG("the call was not denied");
	}
}

TEST_F(arguments, arrays_that_are_not_there)
{
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, &self->node, NULL, 0));
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, &self->node, NOWHERE, 0));
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, NULL, NOWHERE, 0));
	EXPECT_EQ(77, self->status);
	EXPECT_EQ(self->machine.fast, node_of(self->page));

	EXPECT_EQ(-EFAULT, move_phy_pages(1, NULL, &self->node, &self->status, 0));
	EXPECT_EQ(-EINPROGRESS, self->status);
	self->status = 77;
	EXPECT_EQ(-EFAULT, move_phy_pages(1, NOWHERE, NULL, &self->status, 0));
	EXPECT_EQ(-EINPROGRESS, self->status);
	self->status = 77;
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, NOWHERE, &self->status, 0));
	EXPECT_EQ(-EINPROGRESS, self->status);
	EXPECT_EQ(self->machine.fast, node_of(self->page));

	/* Addresses of the kernel's half. */
	EXPECT_EQ(-EFAULT, move_phy_pages(1, (void *)(1UL << 63), NULL, &self->status, 0));
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, NULL, (void *)(1UL << 63), 0));
	EXPECT_EQ(-EFAULT, move_phy_pages(1, &self->paddr, (void *)(1UL << 63), &self->status, 0));
}

/* An array whose last entries are on a page that is not there (or cannot be written). */
static void *torn(size_t bytes, size_t torn_bytes, int protection)
{
	size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
	char *start = map_anon(whole + PAGE);

	mprotect(start + whole, PAGE, protection);
	return start + whole - bytes + torn_bytes;
}

#define ENTRIES 2000
#define BEYOND 100

FIXTURE(torn)
{
	struct machine machine;
	char *pages;
	__u64 *paddrs;
	__s32 *nodes;
	__s32 *status;
};

FIXTURE_VARIANT(torn)
{
	bool paddrs, nodes, status;
	int protection;
};

FIXTURE_VARIANT_ADD(torn, addresses) { .paddrs = true, .protection = PROT_NONE };
FIXTURE_VARIANT_ADD(torn, nodes) { .nodes = true, .protection = PROT_NONE };
FIXTURE_VARIANT_ADD(torn, status) { .status = true, .protection = PROT_NONE };
FIXTURE_VARIANT_ADD(torn, status_read_only) { .status = true, .protection = PROT_READ };

static bool on_torn_page(int i)
{
	return i >= ENTRIES - BEYOND;
}

FIXTURE_SETUP(torn)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	self->pages = map_anon(ENTRIES * PAGE);
	allocate_from(MPOL_BIND, self->machine.fast);
	for (int i = 0; i < ENTRIES; i++)
		self->pages[i * PAGE] = i;
	drain_lru_batches();

	self->paddrs = torn(ENTRIES * 8, variant->paddrs ? BEYOND * 8 : 0, variant->protection);
	self->nodes = torn(ENTRIES * 4, variant->nodes ? BEYOND * 4 : 0, variant->protection);
	self->status = torn(ENTRIES * 4, variant->status ? BEYOND * 4 : 0, variant->protection);
	for (int i = 0; i < ENTRIES; i++) {
		if (!variant->paddrs || !on_torn_page(i))
			self->paddrs[i] = paddr_of(self->pages + i * PAGE);
		if (!variant->nodes || !on_torn_page(i))
			self->nodes[i] = self->machine.slow;
		if (!variant->status || !on_torn_page(i))
			self->status[i] = 77;
	}
}

FIXTURE_TEARDOWN(torn)
{
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* What was done before the fault is told, the rest still says that it was not. */
TEST_F(torn, a_call_that_stops_half_way_says_what_it_did)
{
	long result = move_phy_pages(ENTRIES, self->paddrs, self->nodes, self->status, 0);
	int amiss = 0;

	EXPECT_EQ(-EFAULT, result);
	for (int i = 0; i < ENTRIES; i++) {
		int node = node_of(self->pages + i * PAGE);

		if (variant->status) {
			/* No status could be told for all entries: nothing may have moved. */
			amiss += node != self->machine.fast;
			continue;
		}
		if (self->status[i] == -EINPROGRESS)
			amiss += node != self->machine.fast;
		else
			amiss += on_torn_page(i) || self->status[i] != node;
	}
	EXPECT_EQ(0, amiss);
	if (variant->paddrs && !variant->status) {
		result = move_phy_pages(ENTRIES, self->paddrs, NULL, self->status, 0);
		EXPECT_EQ(-EFAULT, result);
		EXPECT_EQ(-EINPROGRESS, self->status[ENTRIES - 1]);
	}
}

#ifdef __x86_64__
/*
 * The call has a number in the 64-bit table alone. A 32-bit caller, for whom int $0x80 stands, and
 * an x32 one must be told so, and nothing may happen.
 */
static long as_32_bit(long number, const void *const arguments[4])
{
	long result;

	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"(number), "b"(arguments[0]), "c"(arguments[1]), "d"(arguments[2]),
		       "S"(arguments[3]), "D"(0UL)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)result;
}

struct low {
	__u64 paddr;
	__s32 node, status;
};

TEST_F(arguments, a_32_bit_caller_is_told_that_there_is_no_such_call)
{
	struct low *low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	const void *arguments[4] = { (void *)1, &low->paddr, &low->node, &low->status };
	const void *none[4] = { NULL };

	ASSERT_NE(MAP_FAILED, (void *)low);
	/* getpid(2) of the 32-bit table: is there one? */
	if (as_32_bit(20, none) != getpid())
		SKIP(return, "needs a kernel with CONFIG_IA32_EMULATION");
	*low = (struct low){ self->paddr, self->node, 77 };
	EXPECT_EQ(-ENOSYS, as_32_bit(call_number(), arguments));
	EXPECT_EQ(77, low->status);
	EXPECT_EQ(self->machine.fast, node_of(self->page));
}

TEST_F(arguments, an_x32_caller_is_told_that_there_is_no_such_call)
{
	long number = call_number() | 0x40000000;

	EXPECT_EQ(-1, syscall(number, 1, &self->paddr, &self->node, &self->status, 0));
	EXPECT_EQ(ENOSYS, errno);
	EXPECT_EQ(77, self->status);
	EXPECT_EQ(self->machine.fast, node_of(self->page));
}
#endif

TEST_HARNESS_MAIN
