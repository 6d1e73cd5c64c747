/* Lease and fence of one preview, checked by spin (https://spinroot.com) for every order of steps.

   Nodes renew their leases, take the preview, write for it, stand still (SIGSTOP), are killed, start again, and lose
   answers of the database. Statements reach the database at any later moment, also after their node has stopped. At its
   lease's end a node pauses the preview; it goes on after a late renewal, if its fence is the same. What outlives a
   killed node (the crash watch) gives its lease up, once its processes have ended.

   - one:    at most one node that does not stand still runs the preview
   - newest: an accepted write has the fence of the row, so none comes after one of a later owner
   - soon:   without further faults, the preview runs again within a lease and one look of another node

   Time is in parts of a lease, quarters unless LEASE is less. The database counts LEASE from a renewal's arrival, the
   node LOCAL from its request; nobody compares clocks. A node ends its processes within the part between the two.

     spin -a -DLEASE=2 -DFAULTS=1 -DMOST_FENCE=3 lease.pml && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c &&
       ./pan -m3000000

   Build with -DNO_FENCE, -DNO_LEASE, -DNO_STALE, -DNO_LOOK, -DNO_SETTLE, -DNO_GIVE_BACK -DMOST_FENCE=6 or -DNO_KNEW
   -DMOST_FENCE=6 to leave one rule out: spin then finds the fault. More faults, nodes or parts take more time. */

#ifndef NODES
#define NODES 2
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
#ifndef LEASE
#define LEASE 4
#endif
#define LOCAL (LEASE - 1)
#ifndef MOST_FENCE
#define MOST_FENCE 4
#endif
#define NOBODY NODES

/* A statement under way */
#define none 0
#define asked 1
#define done 2

/* The database's rows */
byte left[NODES];          /* quarters until the node's lease is over */
byte owner = NOBODY;
byte fence = 0;
bool queued = true;
byte newest = 0;           /* largest fence of an accepted write */

/* The nodes */
byte deadline[NODES];      /* quarters until it ends its processes by its own clock */
byte mine[NODES];          /* the fence that it knows; 0 for none */
bool runs[NODES];          /* its processes of the preview are alive */
bool still[NODES], dead[NODES];
byte paused[NODES];        /* fence of the preview that stands still since the lease's end; 0 for none */
bool dying[NODES];         /* processes of a killed node, which the kernel has not ended yet */
bool stale[NODES];         /* it was taking at its lease's end, and believes no answer to that */
bool early[NODES];         /* it takes by a membership that a join has ended */
byte unknown[NODES];       /* fence of a row of its own that it did not know at its last renewal */
byte renewal[NODES], taking[NODES];
bool joins[NODES];         /* the renewal is a join: the lease was over */
bool late[NODES];          /* the lease was over, and the renewal is to bring it back */
byte age[NODES];           /* quarters since the renewal was asked for */
byte knew[NODES];          /* what it knew when it asked */
byte seen[NODES], got[NODES];
byte writing[NODES];       /* fence of a write under way */
bool renewed[NODES], looked[NODES];   /* in this quarter */

byte faults = FAULTS;
byte unserved = 0;         /* quarters without a node that runs it, since the last fault */
byte i, running;

#define up(n) (!still[n] && !dead[n])
#ifdef NO_LEASE
#define free_to_take (owner == NOBODY || queued || fence < MOST_FENCE)
#else
#define free_to_take (queued || owner == NOBODY || left[owner] == 0)
#endif

#define acts(n) ((runs[n] && up(n)) || dying[n])
#if NODES == 2
#define alone(n) (!acts(1 - n))
#else
#define alone(n) (!acts((n + 1) % 3) && !acts((n + 2) % 3))
#endif

#ifdef NO_STALE
#define believed(n) true
#else
#define believed(n) (!stale[n])
#endif

inline drop(n) { mine[n] = 0; runs[n] = false }

/* The node sees that its lease is over. Its processes are stopped by the next part. */
inline pause(n) {
  if :: mine[n] != 0 -> paused[n] = mine[n] :: else fi;
  mine[n] = 0; stale[n] = (taking[n] != none) }

proctype Node(byte n) {
  do
  /* The lease */
  :: atomic { up(n) && renewal[n] == none && !renewed[n] ->
       renewal[n] = asked; age[n] = 0; renewed[n] = true;
       if
       :: deadline[n] > 0 -> joins[n] = false; late[n] = false; knew[n] = mine[n]
       /* Only when all has been stopped. */
       :: deadline[n] == 0 && paused[n] != 0 && !runs[n] -> joins[n] = false; late[n] = true; knew[n] = paused[n]
       /* Nothing is paused, or half a minute is over. Joins only when all that it ran is over. */
       :: deadline[n] == 0 -> joins[n] = true; late[n] = false; paused[n] = 0; drop(n)
       fi }
  :: atomic { renewal[n] == asked ->
       if
       :: joins[n] -> left[n] = LEASE; seen[n] = 0; early[n] = (taking[n] == asked);
          if :: owner == n && !queued -> queued = true :: else fi
       :: else -> left[n] = LEASE; seen[n] = ((owner == n && !queued) -> fence : 0)
       fi;
       renewal[n] = done }
  :: atomic { up(n) && renewal[n] == done ->
       renewal[n] = none;
       if
       :: age[n] >= LOCAL -> skip                    /* too late to be of use */
       :: age[n] < LOCAL && late[n] && deadline[n] == 0 ->
          deadline[n] = LOCAL - age[n];
          if
#ifdef NO_LOOK
          :: true ->
#else
          :: seen[n] == paused[n] ->
#endif
             mine[n] = paused[n]; runs[n] = true; assert(alone(n)); unknown[n] = 0
#ifndef NO_LOOK
          :: else -> unknown[n] = seen[n]
#endif
          fi;
          paused[n] = 0
       :: age[n] < LOCAL && !late[n] && (joins[n] || deadline[n] > 0) ->
          deadline[n] = LOCAL - age[n];
          #ifndef NO_KNEW
          if :: knew[n] != 0 && mine[n] == knew[n] && seen[n] != knew[n] -> drop(n) :: else fi;
#else
          if :: mine[n] != 0 && mine[n] != seen[n] -> drop(n) :: else fi;
#endif
          if
#ifndef NO_GIVE_BACK
          :: seen[n] != 0 && mine[n] == 0 && unknown[n] == seen[n] ->
             if :: owner == n && fence == seen[n] && !queued -> queued = true; owner = NOBODY :: else fi;
             unknown[n] = 0
#endif
          :: else -> unknown[n] = (mine[n] == 0 -> seen[n] : 0)
          fi
       :: else -> skip                               /* the lease was over already */
       fi }
  /* Takes */
  :: atomic { up(n) && taking[n] == none && !looked[n] && deadline[n] > 0 && mine[n] == 0 ->
       taking[n] = asked; looked[n] = true }
  :: atomic { taking[n] == asked ->
       if
       :: left[n] > 0 && !early[n] && free_to_take && fence < MOST_FENCE ->
          owner = n; queued = false; fence++; got[n] = fence
       :: else -> got[n] = 0
       fi;
       early[n] = false; taking[n] = done }
  :: atomic { up(n) && taking[n] == done ->
       taking[n] = none;
       if :: got[n] != 0 && deadline[n] > 0 && believed(n) -> mine[n] = got[n]; runs[n] = true; assert(alone(n)) :: else fi;
       got[n] = 0; stale[n] = false }
  :: atomic { faults > 0 && taking[n] == done -> faults--; unserved = 0; taking[n] = none; got[n] = 0; stale[n] = false }  /* lost answer */
  /* Writes: decided here, done there at any later moment */
  :: atomic { up(n) && mine[n] != 0 && deadline[n] > 0 && writing[n] == 0 -> writing[n] = mine[n] }
  :: atomic { writing[n] != 0 ->
       if
#ifdef NO_FENCE
       :: true ->
#else
       :: owner == n && fence == writing[n] && !queued ->
#endif
          assert(writing[n] >= newest);
          newest = writing[n]
#ifndef NO_FENCE
       :: else -> if :: mine[n] == writing[n] && up(n) -> drop(n) :: else fi
#endif
       fi;
       writing[n] = 0 }
  /* Faults */
  :: atomic { faults > 0 && up(n) -> faults--; unserved = 0; still[n] = true }
  :: atomic { still[n] && !dead[n] ->
       /* It looks at its clock first. */
       still[n] = false; unserved = 0;
       if :: deadline[n] == 0 -> pause(n); runs[n] = false :: else fi;
       assert(!runs[n] || alone(n)) }
  :: atomic { n != 0 && faults > 0 && !dead[n] ->
       faults--; unserved = 0; dead[n] = true; still[n] = false; deadline[n] = 0; paused[n] = 0;
       dying[n] = runs[n]; drop(n) }
  :: atomic { dying[n] -> dying[n] = false }
#ifdef NO_SETTLE
  :: atomic { dead[n] && left[n] > 0 -> left[n] = 0 }
#else
  :: atomic { dead[n] && left[n] > 0 && !dying[n] -> left[n] = 0 }
#endif
  /* A new process of that name waits for the end of the lease. Statements of the old one have an old epoch. */
  :: atomic { dead[n] && left[n] == 0 ->
       dead[n] = false; unserved = 0; renewal[n] = none; taking[n] = none; got[n] = 0; unknown[n] = 0;
       early[n] = false; stale[n] = false; dying[n] = false }
  od
}

/* Once no faults are left, no statement and no node is slower than a quarter of a lease. */
#define under_way(n) (renewal[n] == asked || taking[n] == asked)
#define at_rest(n) (renewal[n] == none && renewed[n] && taking[n] == none && (looked[n] || mine[n] != 0 || deadline[n] == 0))
#define prompt(n) (!under_way(n) && (!up(n) || at_rest(n)))
#if NODES == 2
#define all_prompt (prompt(0) && prompt(1))
#else
#define all_prompt (prompt(0) && prompt(1) && prompt(2))
#endif

active proctype Time() {
  do
  :: atomic { faults > 0 || all_prompt ->
       running = 0;
       for (i : 0 .. NODES - 1) {
         if :: left[i] > 0 -> left[i]-- :: else fi;
         if :: renewal[i] != none && age[i] < LOCAL -> age[i]++ :: else fi;
         /* Its processes have the quarter after the deadline to end. */
         if :: deadline[i] == 0 && up(i) -> drop(i) :: else fi;
         dying[i] = false;
         if
         :: deadline[i] > 0 -> deadline[i]--;
            if :: deadline[i] == 0 && up(i) -> pause(i) :: else fi
         :: else
         fi;
         renewed[i] = false; looked[i] = false;
         if :: runs[i] && up(i) && mine[i] == fence && owner == i -> running++ :: else fi
       };
       if
       :: faults > 0 || running > 0 || fence >= MOST_FENCE -> unserved = 0
       :: else -> unserved++; assert(unserved <= LEASE + 3)
       fi }
  od
}

init { atomic { for (i : 0 .. NODES - 1) { run Node(i) } } }
