// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages whose owner's cpuset excludes a node do not go there, whoever asks.
 */
#include <fcntl.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define GROUP "move_phy_pages"
#define MEMBER GROUP "/member"

FIXTURE(confined)
{
	struct machine machine;
	const char *group;
	struct child child;
	struct region *region;	/* as the child has it; paddr is what it has found */
	__u64 *paddr;
};

FIXTURE_VARIANT(confined)
{
	enum kind kind;
	/* Then the pages are charged to the parent of the member, which has all nodes. */
	bool memory_not_delegated;
};

FIXTURE_VARIANT_ADD(confined, anonymous) { .kind = ANON };
FIXTURE_VARIANT_ADD(confined, huge) { .kind = ANON_THP };
FIXTURE_VARIANT_ADD(confined, hugetlb) { .kind = HUGETLB };
FIXTURE_VARIANT_ADD(confined, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(confined, page_cache) { .kind = PAGE_CACHE };
FIXTURE_VARIANT_ADD(confined, unmapped_page_cache) { .kind = CACHE_ONLY };
FIXTURE_VARIANT_ADD(confined, anonymous_of_a_member) { .kind = ANON, .memory_not_delegated = true };
FIXTURE_VARIANT_ADD(confined, huge_of_a_member) { .kind = ANON_THP, .memory_not_delegated = true };
FIXTURE_VARIANT_ADD(confined, shmem_of_a_member) { .kind = SHMEM, .memory_not_delegated = true };
FIXTURE_VARIANT_ADD(confined, page_cache_of_a_member) {
	.kind = PAGE_CACHE, .memory_not_delegated = true,
};

static int allow(const char *group, const char *format, int first, int second)
{
	char nodes[32];

	snprintf(nodes, sizeof(nodes), format, first, second);
	return cgroup_set(group, "cpuset.mems", nodes);
}

static const char *groups_make(bool memory_not_delegated)
{
	if (cgroup_set("", "cgroup.subtree_control", "+cpuset +memory") || !cgroup_make(GROUP))
		return "needs cgroup v2 with cpuset and memory";
	if (!memory_not_delegated)
		return NULL;
	if (cgroup_set(GROUP, "cgroup.subtree_control", "+cpuset") || !cgroup_make(MEMBER))
		return "needs cgroup v2 with cpuset and memory";
	return NULL;
}

static void groups_remove(void)
{
	cgroup_remove(MEMBER);
	cgroup_remove(GROUP);
}

static void inhabit(struct child *child, const char *group, struct region *region, __u64 *paddr,
		    enum kind kind, int node)
{
	const char *missing;
	bool intact;

	/* The pool of huge pages grows on a node that the group may not use; nobody is charged. */
	if (kind != HUGETLB && cgroup_enter(group))
		_exit(1);
	missing = region_make(region, kind, node, 1);
	if (kind == HUGETLB && cgroup_enter(group))
		_exit(1);
	if (!missing)
		*paddr = region_paddr(region, 0);
	drain_lru_batches();
	child_step(child);
	intact = !missing && region_intact(region);
	region_drop(region);
	_exit(missing ? KSFT_SKIP : !intact);
}

FIXTURE_SETUP(confined)
{
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = groups_make(variant->memory_not_delegated);
	if (missing)
		SKIP(return, "%s", missing);
	self->group = variant->memory_not_delegated ? MEMBER : GROUP;
	ASSERT_EQ(0, allow(self->group, "%d", self->machine.fast, 0));
	self->region = map_shared(sizeof(*self->region));
	self->paddr = map_shared(sizeof(*self->paddr));
	if (child_start(&self->child))
		inhabit(&self->child, self->group, self->region, self->paddr, variant->kind,
			self->machine.fast);
	ASSERT_TRUE(child_stepped(&self->child));
	if (!*self->paddr) {
		ASSERT_EQ(KSFT_SKIP, child_finish(&self->child));
		groups_remove();
		SKIP(return, "found no memory of this kind");
	}
}

FIXTURE_TEARDOWN(confined)
{
	EXPECT_EQ(0, child_finish(&self->child));
	groups_remove();
	EXPECT_TRUE(machine_settled(&self->machine));
}

TEST_F(confined, stays_where_its_owner_may_have_memory)
{
	const struct machine *machine = &self->machine;

	EXPECT_EQ(-EPERM, move_one(*self->paddr, machine->slow, MPOL_MF_MOVE));
	EXPECT_EQ(-EPERM, move_one(*self->paddr, machine->slow, MPOL_MF_MOVE_ALL));
	EXPECT_EQ(machine->fast, query_one(*self->paddr));
	EXPECT_EQ(machine->fast, move_one(*self->paddr, machine->fast, MPOL_MF_MOVE));
}

TEST_F(confined, moves_once_its_owner_may_have_memory_there)
{
	const struct machine *machine = &self->machine;

	ASSERT_EQ(0, allow(self->group, "%d,%d", machine->fast, machine->slow));
	EXPECT_EQ(machine->slow, move_patiently(*self->paddr, machine->slow, MPOL_MF_MOVE));
}

FIXTURE(neighbours)
{
	struct machine machine;
	struct region region;
	__u64 paddr;
};

FIXTURE_SETUP(neighbours)
{
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = groups_make(false);
	if (!missing)
		missing = region_make(&self->region, SHMEM, self->machine.fast, 1);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, allow(GROUP, "%d", self->machine.fast, 0));
	self->paddr = region_paddr(&self->region, 0);
}

FIXTURE_TEARDOWN(neighbours)
{
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	groups_remove();
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* Whom a page is charged to may have it anywhere, and one of the others who map it may not. */
TEST_F(neighbours, a_page_that_one_of_its_mappers_may_not_have_there)
{
	struct child child;

	if (child_start(&child)) {
		bool intact = !cgroup_enter(GROUP) && region_intact(&self->region);

		child_step(&child);
		_exit(!(intact && region_intact(&self->region)));
	}
	ASSERT_TRUE(child_stepped(&child));
	EXPECT_EQ(-EACCES, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(-EPERM, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
	EXPECT_EQ(self->machine.fast, query_one(self->paddr));
	EXPECT_EQ(0, child_finish(&child));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(self->paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
}

/* Memory is allocated in the caller's name, so its own cpuset counts as well. */
TEST_F(neighbours, a_caller_that_may_not_have_memory_there)
{
	pid_t child = fork_or_die();

	if (!child)
		_exit(!(!cgroup_enter(GROUP) &&
			move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE_ALL) == -EPERM &&
			move_one(self->paddr, self->machine.fast, 0) == self->machine.fast &&
			query_one(self->paddr) == self->machine.fast));
	EXPECT_EQ(0, join(child));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(self->paddr, self->machine.slow, MPOL_MF_MOVE));
}

/* Page cache outlives the cgroup that it was charged to, and what that one forbade. */
TEST_F(neighbours, page_cache_of_a_cgroup_that_is_gone)
{
	struct region file;
	__u64 *paddr = map_shared(PAGE);
	pid_t child;

	ASSERT_EQ(NULL, region_make(&file, CACHE_ONLY, self->machine.fast, 1));
	ASSERT_EQ(0, posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED));
	child = fork_or_die();
	if (!child) {
		char byte;

		_exit(!(!cgroup_enter(GROUP) && pread(file.fd, &byte, 1, 0) == 1));
	}
	ASSERT_EQ(0, join(child));
	*paddr = region_paddr(&file, 0);
	drain_lru_batches();
	EXPECT_EQ(-EPERM, move_one(*paddr, self->machine.slow, MPOL_MF_MOVE));
	groups_remove();
	ASSERT_NE(0, access(CGROUPS "/" GROUP, F_OK));
	EXPECT_EQ(self->machine.slow, move_patiently(*paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(region_intact(&file));
	region_drop(&file);
}

TEST_HARNESS_MAIN
