/*
 * The status protocol (README.md beside this file): sidecars that publish results, the API server that stores them, and
 * Metacontroller, which writes back what it had read. One ExternalService with one address; a result is a number that
 * goes up with each transition of the address, so that "older" can be seen, and 0 is "not probed yet".
 *
 * No resourceVersion is counted, or the states would have no end. What the protocol does with one is compare, and both
 * comparisons are exact here: a lock is a bit that every store breaks, and the events of a watch are in order, so that
 * "not newer than what I have" is a number of events at the head of the queue.
 */

#ifndef SIDECARS
#define SIDECARS 1
#endif
#ifndef TRANSITIONS
#define TRANSITIONS 2        /* of the address, at any moment */
#endif
#ifndef LAG
#define LAG 2                /* versions that a watch may be behind; before one more is stored, the eldest arrives */
#endif
#ifndef STOPS
#define STOPS 1              /* SIGSTOPs of the owner */
#endif
#ifndef FAULTS
#define FAULTS 0             /* answers to a PATCH that are lost */
#endif
#ifndef RESYNCS
#define RESYNCS 0            /* syncs of Metacontroller without an event */
#endif
#ifndef HANDS
#define HANDS 0              /* edits of the status by hand, with a raised revision */
#endif

#define TRIES 4              /* of Metacontroller's status write, on conflicts */
#define LONGEST 2            /* overwritings after which the back-off outlasts Metacontroller's GET-to-PUT window */
#define BY_HAND 7            /* a result that no probe ever gave */
#define NOBODY 2

/* -- the API server ----------------------------------------------------------------------------------------------- */

byte revision, stored_result;      /* .status as stored: what the sidecar writes ... */
bit observed;                /* ... and what the hook's answer adds to it */
bit stored;                  /* turns over with each store */

byte truth;                  /* the latest transition that a probe could show */
byte shown = 1;              /* a bit for each result that a probe gave */
byte published;              /* what the Endpoints say */

chan watch[SIDECARS] = [LAG] of { byte, byte, bit };
chan informer = [LAG] of { byte, byte, bit };

#ifdef NO_LOCK
#define unchanged(i) 1
#define patched(o) observed
#else
#define unchanged(i) (len(watch[i]) == behind[i])
#define patched(o) o
#endif

bit lock[SIDECARS];          /* the version that the PATCH was made for is still the stored one */
bit mc_lock;                 /* the same for Metacontroller's PUT */

#ifdef TOO_WIDE
#define kept(r) (r <= revision)
#elif defined(POLICY)
#define kept(r) (r < revision)       /* a stale PUT answers 200 and changes nothing */
#else
#define kept(r) false
#endif

#ifdef NO_GUARD
#define refused(r, v) false
#else
#define refused(r, v) (r < revision || (r == revision && v != stored_result))
#endif

#if defined(MAY_GO_BACK) || HANDS
#define forward(new, old) true
#else
#define forward(new, old) (new >= old)
#endif

/* -- what a sidecar knows ----------------------------------------------------------------------------------------- */

byte seen_revision[SIDECARS], seen_result[SIDECARS];
bit seen_observed[SIDECARS];
byte behind[SIDECARS];       /* events on their way that are not newer than what was seen */
bit asking[SIDECARS];        /* an answer of the API server is on its way ... */
byte answer_revision[SIDECARS], answer_result[SIDECARS];
bit answer_observed[SIDECARS];
byte answer_behind[SIDECARS];
bit overtaken[SIDECARS];     /* ... and the watch has shown something newer */

byte result[SIDECARS];       /* the prober's result */
bit evidence[SIDECARS];      /* by its own probes, not taken over from the status */
bit stopped[SIDECARS];       /* SIGSTOP */
byte holder = 0;             /* of the Lease, by its own clock: it runs out there before anybody else's begins */
bit clings[SIDECARS];        /* has lost it in its sleep and has not looked yet */
byte told[SIDECARS];         /* what it wrote last */

#ifdef OVERLAP
bit both;                    /* two who see different replicas, or different objects, each believe it theirs */
#define owner(i) (holder == i || both)
#elif defined(NO_FENCE)
#define owner(i) (holder == i || clings[i])
#else
#define owner(i) (holder == i)
#endif

#if defined(GUESS)
#define wanted(i) (evidence[i] * result[i] + (1 - evidence[i]) * TRANSITIONS)
#elif defined(NO_ADOPTION)
#define wanted(i) result[i]
#else
#define wanted(i) (evidence[i] * result[i] + (1 - evidence[i]) * seen_result[i])
#endif

/* -- what Metacontroller knows ------------------------------------------------------------------------------------ */

byte cached_revision, cached_result;
bit cached_observed;
bit queued = 1;              /* a sync is due: a key stands in the queue once */
bit syncing;
bit prompt;                  /* its watch is faster than its syncs, from now on */

#ifdef ALONE
#define mc_quiet true
#else
#define mc_quiet (!queued && !syncing && len(informer) == 0)
#endif

#if defined(NO_REASSERT)
#define may_write(i) (told[i] != wanted(i))
#elif defined(NO_BACKOFF)
#define may_write(i) true
#else
#define may_write(i) (told[i] != wanted(i) || overwritten < LONGEST || mc_quiet)
#endif

/* ------------------------------------------------------------------------------------------------------------------ */

byte r_, v_; bit o_;         /* of the event that is being delivered; 0 in between */

inline see(i, r, v)
{
#ifndef NO_YIELD
    if
    :: r > seen_revision[i] && v != told[i] && v != result[i] -> evidence[i] = 0    /* another client's, and newer */
    :: else
    fi;
#endif
    seen_revision[i] = r; seen_result[i] = v
}

inline show_sidecar(i)
{
    watch[i] ? r_, v_, o_;
    if
    :: behind[i] > 0 -> behind[i]--
    :: else -> see(i, r_, v_); seen_observed[i] = o_
    fi;
    if
    :: asking[i] && answer_behind[i] > 0 -> answer_behind[i]--
    :: asking[i] && answer_behind[i] == 0 -> overtaken[i] = 1
    :: else
    fi;
    r_ = 0; v_ = 0; o_ = 0
}

inline show_metacontroller()
{
    informer ? cached_revision, cached_result, cached_observed;
    queued = 1
}

inline event(i)
{
    if
    :: len(watch[i]) == LAG -> show_sidecar(i)
    :: else
    fi;
    watch[i] ! revision, stored_result, observed
}

inline break_locks()
{
#ifndef NO_LOCK
    lock[0] = 0;
#if SIDECARS > 1
    lock[1] = 0;
#endif
#endif
    mc_lock = 0
}

inline store(r, v, o)
{
    assert(v == BY_HAND || (shown >> v) & 1);    /* nothing is published that no probe showed */
    assert(forward(v, stored_result));                 /* health in the store never goes back */
    assert(r < 100);
    revision = r; stored_result = v; observed = o;
    stored = !stored;
    break_locks();
    event(0);
#if SIDECARS > 1
    event(1);
#endif
#ifdef ALONE
    published = stored_result
#else
    if
    :: len(informer) == LAG -> show_metacontroller()
    :: else
    fi;
    informer ! revision, stored_result, observed
#endif
}

inline answer(i)
{
    asking[i] = 1; overtaken[i] = 0;
    answer_revision[i] = revision; answer_result[i] = stored_result; answer_observed[i] = observed;
    answer_behind[i] = len(watch[i])
}

inline forget(i)
{
    asking[i] = 0; overtaken[i] = 0; answer_behind[i] = 0;
    answer_revision[i] = 0; answer_result[i] = 0; answer_observed[i] = 0
}

inline take(i)
{
    if
    :: overtaken[i]
    :: else ->
        see(i, answer_revision[i], answer_result[i]);
        seen_observed[i] = answer_observed[i]; behind[i] = answer_behind[i]
    fi;
    forget(i)
}

/* -- a sidecar: its watch, its prober, its publisher -------------------------------------------------------------- */

active [SIDECARS] proctype Watch()
{
    byte i = _pid;
    do
    :: atomic { !stopped[i] && len(watch[i]) > 0 -> show_sidecar(i) }
    od
}

active [SIDECARS] proctype Prober()
{
    byte i = _pid - SIDECARS;
    do
    :: atomic { !stopped[i] && owner(i) && (!evidence[i] || result[i] != truth) ->
        result[i] = truth; evidence[i] = 1; shown = shown | (1 << truth) }
    od
}

active [SIDECARS] proctype Publisher()
{
    byte i = _pid - 2 * SIDECARS;
    byte r, v; bit o, done;
    byte overwritten, faults;
again:
    do
    :: atomic { !stopped[i] && owner(i) && wanted(i) != seen_result[i] && may_write(i) ->
        if
        :: told[i] == wanted(i) && overwritten < LONGEST -> overwritten++
        :: else
        fi;
        r = seen_revision[i] + 1; v = wanted(i); o = seen_observed[i];
        lock[i] = unchanged(i) };

        atomic {                                           /* the PATCH arrives, whatever became of its sender */
        if
        :: !lock[i] || refused(r, v) -> done = 0
        :: else -> store(r, v, patched(o)); done = 1
        fi;
        lock[i] = 0; r = 0; o = 0;
        answer(i) };

        atomic { !stopped[i] ->
        if
        :: done -> told[i] = v; take(i); v = 0; done = 0; goto again
        :: faults < FAULTS -> faults++; forget(i); v = 0; done = 0; goto again    /* stored or not: the watch will tell */
        :: !done -> forget(i); v = 0
        fi };
        atomic { !stopped[i] -> answer(i) };               /* GET after a 409 */
        atomic { !stopped[i] -> take(i) };
    od
}

#ifndef ALONE

/* -- Metacontroller ----------------------------------------------------------------------------------------------- */

active proctype Informer()
{
    do
    :: atomic { len(informer) > 0 -> show_metacontroller() }
    od
}

active proctype Metacontroller()
{
    byte r, v, tries;
again:
    do
    :: atomic { queued && (!prompt || len(informer) == 0) ->
        queued = 0; syncing = 1; tries = 1;
        r = cached_revision; v = cached_result;           /* the hook is asked with the cached parent ... */
        assert(forward(v, published));                     /* no child is made from an older state after a newer one */
        published = v };
get:
        atomic {
        if
        :: revision == r && stored_result == v && observed == 1 -> syncing = 0; r = 0; v = 0; tries = 0; goto again
        :: else -> mc_lock = 1
        fi };
        atomic {                                           /* ... and its echo replaces the whole status */
        if
        :: !mc_lock && tries < TRIES -> tries++; goto get
        :: !mc_lock && tries == TRIES                      /* swallowed */
        :: mc_lock && kept(r)                              /* 200; what it adds is lost, and it takes it for stored */
        :: mc_lock && !kept(r) && refused(r, v) -> queued = 1    /* 422: again, with what the cache holds by then */
        :: mc_lock && !kept(r) && !refused(r, v) -> store(r, v, 1)
        fi;
        syncing = 0; mc_lock = 0; r = 0; v = 0; tries = 0 };
    od
}

#endif

/* -- the world ---------------------------------------------------------------------------------------------------- */

active proctype Address()
{
    do
    :: atomic { truth < TRANSITIONS -> truth++ }
    :: truth == TRANSITIONS -> break
    :: break
    od
}

active proctype World()
{
    byte stops, resyncs, hands, overlaps;
    do
#if SIDECARS > 1
    :: atomic { stops < STOPS && holder == 0 && !stopped[0] && !stopped[1] -> stops++; stopped[0] = 1 }
    :: atomic { stops < STOPS && holder == 1 && !stopped[1] && !stopped[0] -> stops++; stopped[1] = 1 }
    :: atomic { stopped[0] -> stopped[0] = 0 }
    :: atomic { stopped[1] -> stopped[1] = 0 }
#endif
#ifdef OVERLAP
    :: atomic { overlaps < 1 -> overlaps++; both = 1; evidence[1 - holder] = 0; result[1 - holder] = seen_result[1 - holder] }
    :: atomic { both -> both = 0 }
#endif
#if HANDS
    :: atomic { hands < HANDS && stored_result != BY_HAND -> hands++; store(revision + 1, BY_HAND, observed) }
#endif
#ifdef PROMPT
    :: atomic { !prompt -> prompt = 1 }
#endif
#if RESYNCS
    :: atomic { resyncs < RESYNCS && !queued -> resyncs++; queued = 1 }
#endif
    :: truth <= TRANSITIONS                                /* nothing happens: no run ever ends */
    od
}

#if SIDECARS > 1
inline take_over(i)
{
    holder = i; clings[i] = 0;
    evidence[i] = 0; result[i] = seen_result[i]           /* design R6: readiness outlives its owner */
}

active proctype Leases()
{
    do
    :: atomic { holder == 0 && stopped[0] -> holder = NOBODY; clings[0] = 1 }
    :: atomic { holder == 1 && stopped[1] -> holder = NOBODY; clings[1] = 1 }
    :: atomic { holder == NOBODY && !stopped[0] -> take_over(0) }
    :: atomic { holder == NOBODY && !stopped[1] -> take_over(1) }
    :: atomic { clings[0] && !stopped[0] -> clings[0] = 0 }
    :: atomic { clings[1] && !stopped[1] -> clings[1] = 0 }
    od
}
#endif

/* -- what is promised, beside the assertions ---------------------------------------------------------------------- */

#ifdef PROMPT
#define provided (<>[] prompt)
#else
#define provided true
#endif

#ifdef ALONE
#define complete true
#else
#define complete (observed == 1)
#endif

ltl published_in_the_end { provided -> <>[] (stored_result == truth && published == truth && complete) }
ltl silent_in_the_end { provided -> (<>[] stored || <>[] !stored) }
