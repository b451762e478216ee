/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hand-over of src/channel between a host and a plugin, for Spin: events with answers, posted writes through a ring of
 * one entry, both sides sleeping at any point, and a stop by the kick.
 *
 * Spin alone is sequentially consistent, a processor is not: what it stores waits in a buffer while it reads on. So each
 * side stores through a buffer of one entry, which reaches the memory at any later time, and only a read-modify-write, or
 * a system call, waits until it has. Loads are of the other side's words alone.
 *
 * What is proved: no reachable state is stuck (a wake-up that is lost is), nothing is overwritten before it was read, posted
 * writes come before the event that follows them, and a kicked host ends whatever the plugin does.
 *
 * Each mutant leaves out what makes it so, and must be caught: -DMUTANT_STORE (a release store instead of the exchange),
 * -DMUTANT_NO_RECHECK (the futex gets the value of now, not of the last look), -DMUTANT_NO_KICK (the kick is not among
 * what the host sleeps on), -DMUTANT_EVENT_FIRST (the ring is drained after the event).
 */
#define HOST   0
#define PLUGIN 1

#define RING   1 /* entries */
/* How much happens: EVENTS, and before each of them up to WRITES posted writes, come from the command line. */

/* The words of a side, and what its buffer can hold. */
#define NONE     0
#define SEQUENCE 1
#define SLEEPING 2
#define TURN     3
#define INDEX    4 /* of the ring */
#define CONTENT  5 /* of the host: the event's; of the plugin: the answer's */

byte sequence[2], sleeping[2], turn[2], ring[2], content[2];
byte buffered_word[2], buffered_value[2];
bool asleep[2]; /* in the kernel */
bool hostile;   /* the plugin moves the host's thread to another futex, and stops when it likes */
byte kick;      /* private: not the plugin's */
bool host_done;

inline to_memory(side, word, value)
{
	if
	:: word == SEQUENCE -> sequence[side] = value
	:: word == SLEEPING -> sleeping[side] = value
	:: word == TURN -> turn[side] = value
	:: word == INDEX -> ring[side] = value
	:: word == CONTENT -> content[side] = value
	fi
}

inline store(side, word, value)
{
	atomic {
		buffered_word[side] == NONE;
		buffered_word[side] = word;
		buffered_value[side] = value
	}
}

inline exchange(side, word, value)
{
	atomic {
		buffered_word[side] == NONE;
		to_memory(side, word, value)
	}
}

active [2] proctype buffer()
{
	byte side = _pid;
end:	do
	:: atomic {
		buffered_word[side] != NONE;
		to_memory(side, buffered_word[side], buffered_value[side]);
		buffered_word[side] = NONE
	   }
	od
}

/* handover_post() */
inline post(me, peer)
{
	posted = posted + 1;
#ifdef MUTANT_STORE
	store(me, SEQUENCE, posted);
#else
	exchange(me, SEQUENCE, posted);
#endif
	peer_sleep = sleeping[peer];
	if
	:: peer_sleep != 0 && peer_sleep != posted + 1 && peer_sleep != woken ->
		woken = peer_sleep;
		/* A system call. A host that was moved away is on no list that this wake-up finds. */
		atomic {
			buffered_word[me] == NONE;
			if
			:: peer == HOST && hostile
			:: else -> asleep[peer] = false
			fi
		}
	:: else
	fi
}

#ifdef MUTANT_NO_KICK
#define KICKED(me) false
#else
#define KICKED(me) (me == HOST && kick != 0)
#endif

/* One sleep of handover_wait(): the loop around it is the caller's. */
inline doze(me, peer)
{
	exchange(me, SLEEPING, seen + 1);
#ifdef MUTANT_NO_RECHECK
	seen = sequence[peer];
#endif
	atomic {
		buffered_word[me] == NONE;
		if
		:: sequence[peer] == seen && !KICKED(me) -> asleep[me] = true
		:: else
		fi
	}
	/* The plugin's sleep has a bound, after which it finds that the host has gone. */
	if
	:: !asleep[me]
	:: me == PLUGIN && host_done -> asleep[me] = false
	fi;
	store(me, SLEEPING, 0)
}

active proctype host()
{
	byte posted = 0, seen = 0, woken = 0, peer_sleep = 0;
	byte event = 0, head = 0, writes = 0;

	do
	:: event == EVENTS || KICKED(HOST) -> break
	:: else ->
		writes = 0;
		do
		:: writes == WRITES -> break
		:: break
		:: writes < WRITES ->
			/* host_end_posted_write() */
			do
			:: KICKED(HOST) -> goto done
			:: else ->
				seen = sequence[PLUGIN];
				if
				:: head - ring[PLUGIN] < RING -> break
				:: head - ring[PLUGIN] == RING -> doze(HOST, PLUGIN)
				fi
			od;
			head++;
			store(HOST, INDEX, head);
			post(HOST, PLUGIN);
			writes++
		od;

		/* host_end_access(): the event carries the head. */
		event++;
		store(HOST, CONTENT, head);
		store(HOST, TURN, event);
		post(HOST, PLUGIN);

		/* host_end_await() */
		do
		:: KICKED(HOST) -> goto done
		:: else ->
			seen = sequence[PLUGIN];
			if
			:: turn[PLUGIN] == event -> break
			:: turn[PLUGIN] != event -> doze(HOST, PLUGIN)
			fi
		od;
		/* The answer is that to this event. */
		assert(content[PLUGIN] == event)
	od;
done:	host_done = true
}

active proctype plugin()
{
	byte posted = 0, seen = 0, woken = 0, peer_sleep = 0;
	byte event = 0, tail = 0, head = 0;
	bool has_event = false;

	do
	:: event == EVENTS || host_done || hostile -> break
	:: else ->
		/* plugin_end_wait() */
		seen = sequence[HOST];
		if
		:: !has_event && turn[HOST] != event ->
			assert(turn[HOST] == event + 1);
			has_event = true;
			head = content[HOST]
		:: !has_event && turn[HOST] == event -> head = ring[HOST]
		:: has_event
		fi;
		assert(head - tail <= RING);
		if
#ifdef MUTANT_EVENT_FIRST
		:: head != tail && !has_event ->
#else
		:: head != tail ->
#endif
			tail++;
			store(PLUGIN, INDEX, tail);
			post(PLUGIN, HOST)
		:: else ->
			if
			:: has_event ->
				/* What was posted before it was delivered before it. */
				assert(tail == content[HOST]);
				has_event = false;
				event++;
				store(PLUGIN, CONTENT, event);
				store(PLUGIN, TURN, event);
				post(PLUGIN, HOST)
			:: else -> doze(PLUGIN, HOST)
			fi
		fi
	od
}

/* Stop the machine, at any time or never; only then does it have to end although the plugin is hostile. */
active proctype stop()
{
	if
	:: skip
	:: skip ->
		if
		:: hostile = true
		:: skip
		fi;
		atomic {
			kick = 1;
#ifndef MUTANT_NO_KICK
			asleep[HOST] = false
#endif
		}
	fi
}
