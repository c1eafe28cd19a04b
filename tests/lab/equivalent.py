"""Mutants that do what their script promises, each with the reason why no test can tell them apart.

Some are other at one instant of the server's clock alone, which no test can choose, or in an answer that Python reads
as a yes.
"""

from __future__ import annotations

from typing import Final

__all__ = ("EQUIVALENT",)

EQUIVALENT: Final[dict[str, str]] = {
    "document_set: return 2": "Python does not read it",
    "document_exchange: return 2": "Python reads a yes",
    "record_set: return 2": "Python does not read it",
    "record_update: return 2": "Python reads a yes",
    "record_exchange: return 2": "Python reads a yes",
    "record_exchange: if #ARGV > 2 * seen + 2 then redis.call('HSET', record, unpack(ARGV, 2 * seen + 2)) end": (
        "changes come in pairs"
    ),
    "record_increment: return { 2, redis.call('HGET', record, field) }": "Python reads a yes",
    "log_append: redis.call('PEXPIRE', producers, 604800001)": "a millisecond more than a week",
    "log_append: local some, since = redis.call('HRANDFIELD', producers, 3, 'WITHVALUES'), clock() - 604800000000": (
        "how many are looked at each time is a measure, and not a promise"
    ),
    "log_append: local some, since = redis.call('HRANDFIELD', producers, 2, 'WITHVALUES'), clock() - 604800000001": (
        "a microsecond more than a week"
    ),
    "log_append: if ms and ms * 1000 <= since then redis.call('HDEL', producers, some[at]) end": (
        "but for one microsecond"
    ),
    "ring: ": "who was told and waits no more is told again, and does nothing",
    "log_append: redis.call('XTRIM', log, 'MINID', string.format('%.0f', math.max(clock() / 1000 - age, 1)))": (
        "an age reaches to 1970 for nobody"
    ),
    "group_claim: local entry = redis.call('XCLAIM', log, group, consumer, 1, id, 'RETRYCOUNT', idle[4] + 1)[1]": (
        "what was idle for its visibility was so for a millisecond"
    ),
    "group_claim: local idle = redis.call('XPENDING', log, group, 'IDLE', visibility, id, id, 2)[1]": (
        "there is one entry of an id"
    ),
    "group_claim: if not at or tonumber(at) < now then retry(head) end": "but for one microsecond",
    "group_claim: local again = tonumber(redis.call('HGET', state, 'next') or 1)": (
        "the first microsecond of 1970 is as long ago"
    ),
    "group_claim: if #names < count and pending[1] >= 0 and again <= now then": (
        "where nothing is held, nothing is found"
    ),
    "group_claim: if #names < count and pending[1] > 0 and again < now then": "but for one microsecond",
    "group_claim: if not more then from, again = '-', now + math.min(visibility * 251, 1000000) end": (
        "it is looked a part in 250 later"
    ),
    "group_claim: if not more then from, again = '-', now + math.min(visibility * 250, 1000001) end": (
        "it is looked a microsecond later"
    ),
    "group_claim: redis.call('PEXPIRE', state, 60001)": "a millisecond more than a minute",
    "group_claim: redis.call('SET', claim, table.concat(names, '\\n'), 'PX', 60001)": (
        "a millisecond more than a minute"
    ),
    "group_claim: or not head and redis.call('ZRANGE', later, 0, 1, 'WITHSCORES')[2]": (
        "the first score is the first, whether or not a second is read with it"
    ),
    "group_claim: if first then found[1] = math.max(math.ceil((first - now) / 1001), 1) end": (
        "who waits looks a thousandth too early, and once more"
    ),
    "group_hand_back: count = count + 2": "Python reads a yes",
    "group_hand_back: if count >= 0 then ring(log, waiters) end": "who is told for nothing looks, and waits on",
    "group_replay: if count >= 0 then ring(log, waiters) end": "who is told for nothing looks, and waits on",
    "group_commit: for _, letter in ipairs(redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 101)) do": (
        "how many letters are looked at is a measure against long scripts, and not a promise"
    ),
    "group_commit: while at < #ARGV do": "a command has a name and a key",
    "group_commit: return 2": "Python reads a yes",
    "group_ack: return 2": "Python reads a yes",
    "group_nack: return 2": "Python reads a yes",
    "group_extend: return 2": "Python reads a yes",
    "group_extend: local idle = math.max(visibility - lease, 1)": "but for one millisecond",
    "group_reap: if named.pending == 0 and named.idle > idle then": "but for one millisecond",
    "group_renew: if answers[at] == 1 then redis.call('XCLAIM', log, group, consumer, 1, id, 'JUSTID') end": (
        "what was claimed within this millisecond needs no renewal"
    ),
    "group_stats: local waiting, most = {}, lag and 1 or 100001": ("a hundred thousand stands for any more"),
    "group_stats: local waiting, most = {}, lag and 2 or 100000": ("one is read to see that there is one"),
    "group_stats: local oldest = pending[1] >= 0 and pending[2] or waiting[1] and waiting[1][1]": (
        "of nothing there is no first one"
    ),
    "group_stats: local age = oldest and math.max(clock() - string.match(oldest, '^%d+') * 1000, 0) or -2": (
        "it is no less than -1 in the answer"
    ),
    "log_trim: local since = math.max(clock() / 1000 - age, 1)": "an age reaches to 1970 for nobody",
    "group_stats: for at = 1, #one, 3 do named[one[at]] = one[at + 1] end": (
        "without the server's count the entries are counted, and up to a hundred thousand they are as many"
    ),
    "log_read: local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 2)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "log_append: if length > 0 then redis.call('XTRIM', log, 'MAXLEN', length > 10001 and '~' or '=', length) end": (
        "one more length is exact than was promised"
    ),
    "log_trim: local idle = 1": ("a group without consumers lives, unless no group lives longer than a millisecond"),
    "log_trim: return idle <= dead": "but for one millisecond",
    "pending: if redis.call('PTTL', later) <= wait + 3600000 then redis.call('PEXPIRE', later, wait + 3600000) end": (
        "it writes what is there"
    ),
    "pending: if redis.call('PTTL', later) < wait + 3600001 then redis.call('PEXPIRE', later, wait + 3600000) end": (
        "it writes what is there"
    ),
    "pending: if redis.call('PTTL', later) < wait + 3600000 then redis.call('PEXPIRE', later, wait + 3600001) end": (
        "a millisecond more than an hour"
    ),
    "ring: redis.call('PEXPIRE', waiters, 30001)": "a millisecond more than half a minute",
    "ring: redis.call('ZREMRANGEBYSCORE', waiters, '-inf', string.format('%.0f', now - 30000001))": (
        "a microsecond more than half a minute"
    ),
    "pending: local found = redis.pcall('XPENDING', log, group, id, id, 2)": "there is one entry of an id",
    "log_trim: return ms < other_ms or ms == other_ms and tonumber(number) <= tonumber(other_number)": (
        "of two groups that need the same entry either may be asked"
    ),
    "group_claim: if first then found[1] = math.max(math.ceil((first - now) / 1000), 2) end": (
        "who waits looks a millisecond later"
    ),
    "queue_hand_back: count = count - 1": "what was handed back is ready, and wakes by that; Python reads a yes",
    "again: if tonumber(due) >= now then": "but for one microsecond",
    "announce: local count = math.min(redis.call('LLEN', list), 101)": (
        "how many are told at once is a measure against long scripts, and not a promise"
    ),
    "announce: for _, inbox in ipairs(redis.call('ZRANGE', waiters, 0, 100)) do": (
        "how many are told at once is a measure against long scripts, and not a promise"
    ),
    "announce: count = count - 2": "whoever takes an item tells the next of those that are left",
    "announce: if most == 1 then return end": "without a cap nothing is cut, and a cap of one is one",
    "stand: redis.call('PEXPIRE', waiters, 30001)": "a millisecond more than half a minute",
    "stand: if redis.call('ZCARD', waiters) > 1000 then": "how many of the dead may stay is no promise",
    "stand: if redis.call('ZCARD', waiters) >= 1001 then": "how many of the dead may stay is no promise",
    "queue_claim: if #found > 2 then return found end": "a message is three parts",
    "queue_claim: local found = { 1 }": "it is written at the end, and not read where there are messages",
    "queue_claim: local number, left = 0, count + 101": (
        "how many ended messages one call passes over is a measure against long scripts, and not a promise"
    ),
    "queue_claim: while number <= tonumber(count) and left > 0 do": "it asks for none, and gets none",
    "queue_claim: while number < tonumber(count) or left > 0 do": "it asks for none, and gets none",
    "queue_claim: while number < tonumber(count) and left >= 0 do": "it asks for none, and gets none",
    "queue_claim: while number < tonumber(count) and left > 1 do": (
        "how many ended messages one call passes over is a measure against long scripts, and not a promise"
    ),
    "queue_claim: found[1] = more and 1 or next_due(delayed, leased, now)": "who waits looks a millisecond later",
    "queue_ack: answers[at] = claim and 2 or 0": "Python reads a yes",
    "queue_nack: return 2": "Python reads a yes",
    "transaction_commit: return 2": "Python reads a yes",
    "transaction_commit: while at < #ARGV do": "a command has a name and a key",
    "queue_hand_back: count = count + 2": "Python reads a yes",
    "queue_hand_back: if count >= 0 or redis.call('EXISTS', ready) == 1 then wake(ready, waiters) end": (
        "who is told for nothing looks, and waits on"
    ),
    "queue_hand_back: if count > 1 or redis.call('EXISTS', ready) == 1 then wake(ready, waiters) end": (
        "what was handed back is ready, and wakes by that"
    ),
    "queue_put: local like, tries = window ~= '0' and redis.call('GET', recent), 1": (
        "with a window nothing is put to run again"
    ),
    "message: priority = tonumber(priority or 1),": "what is no record has no priority of its own",
    "message: return message.expires > 0 and message.expires < now and tonumber(attempts or 0) == 0": (
        "but for one microsecond"
    ),
    "overdue: local tokens = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, 101)": (
        "how many are recovered at once is a measure against long scripts, and not a promise"
    ),
    "overdue: for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 101)) do": (
        "how many are promoted at once is a measure against long scripts, and not a promise"
    ),
    "overdue: redis.call('ZRANGE', delayed, 0, 1, 'WITHSCORES'),": (
        "the first score is the first, whether or not a second is read with it"
    ),
    "overdue: redis.call('ZRANGE', leased, 0, 1, 'WITHSCORES'),": (
        "the first score is the first, whether or not a second is read with it"
    ),
    "overdue: if due and (not first or due <= first) then first = due end": "it writes what is there",
    "overdue: return first and math.max(math.ceil((first - now) / 1001), 0) or -1": (
        "who waits looks a thousandth too early, and once more"
    ),
    "overdue: return first and math.max(math.ceil((first - now) / 1000), 1) or -1": (
        "who waits looks a millisecond later"
    ),
    "overdue: return first and math.max(math.ceil((first - now) / 1000), 0) or -2": (
        "Python takes what is below 0 for none"
    ),
    "queue_stats: local token = redis.call('ZRANGE', leased, '-inf', now, 'BYSCORE', 'LIMIT', 0, 2)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "queue_stats: if order ~= 'fifo' then first = redis.call('ZRANGE', ready, 0, 1)[1] or next_ended end": (
        "the first is the first, whether or not a second is read with it"
    ),
    "queue_stats: local next_due = redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, 2)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "queue_stats: message and math.max(now - message.enqueued, 0) or -2,": "Python takes what is below 0 for none",
    "ready: local place = math.max((last or 1) + 1, order == '0' and (turn or 0) + 1 or now)": (
        "the places of a group begin at 2, behind no other's"
    ),
    "ready: local place = math.max((last or 0) + 1, order == '0' and (turn or 1) + 1 or now)": (
        "the places of a priority begin at 2"
    ),
    "ready: local place = math.max((last or 0) + 2, order == '0' and (turn or 0) + 1 or now)": (
        "each group counts in twos, and they take turns all the same"
    ),
    "ready: if place >= tonumber(redis.call('HGET', index, turn) or 0) then": "it writes what is there",
    "ready: if place > tonumber(redis.call('HGET', index, turn) or 1) then": (
        "that the first place has been passed makes the next one the second, which it is by its own number too"
    ),
    "ready: if message.group ~= '' and tonumber(redis.call('HGET', index, own) or 1) <= place then": (
        "it removes what is not there"
    ),
    "wake: for _ = 2, 100 do": "how many that are gone are passed over is a measure against long scripts",
    "wake: for _ = 1, 101 do": "how many that are gone are passed over is a measure against long scripts",
    "queue_claim: left = left + #ids": (
        "how many ended messages one call passes over is a measure against long scripts, and not a promise"
    ),
    "message: enqueued = tonumber(enqueued or 1),": "what is no record has no time of its own",
    "activity_mark: if needed >= length then": "it writes what is there, with more room behind it",
    "activity_mark: if start > 0 and (now < start or now > stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "activity_count: if start > 0 and (now < start or now > stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "activity_active: if start > 0 and (now < start or now > stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "feature_flags_grant: if redis.call('HEXISTS', flags, flag) == 0 then return -2 end": "Python reads a no",
    "feature_flags_write: return 2": "Python reads a yes",
    "tag_index_add: if count > most then return -2 end": "Python reads a no",
    "tag_index_remove: if all == '1' and redis.call('SCARD', tags) ~= #ARGV - 2 then return -2 end": (
        "Python reads a no"
    ),
    "tag_index_remove: if redis.call('SISMEMBER', tags, ARGV[at]) == 0 then return -2 end": "Python reads a no",
    "tag_index_remove: for at = 3, all == '1' and #ARGV or 1 do": "from 3 to 1 is nothing, as from 3 to 0 is",
    "tag_index_find: elseif any > 1 then": "what has the one tag is found among all items too",
    "activity_active: if start > 0 and (now <= start or now >= stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "activity_count: if start > 0 and (now <= start or now >= stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "activity_mark: if start > 0 and (now <= start or now >= stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "activity_active: if start > 1 and (now < start or now >= stop) then return { -2, now } end": (
        "today does not begin in the first microsecond of 1970"
    ),
    "activity_count: if start > 1 and (now < start or now >= stop) then return { -2, now } end": (
        "today does not begin in the first microsecond of 1970"
    ),
    "activity_mark: if start > 1 and (now < start or now >= stop) then return { -2, now } end": (
        "today does not begin in the first microsecond of 1970"
    ),
    "activity_mark: if ends * 1000 < now then return { -3, now } end": "but for one microsecond",
    "activity_mark: if #pairs_of > 1 then redis.call('HSET', ids, unpack(pairs_of)) end": (
        "a member and its bit are two"
    ),
    "activity_mark: if direct ~= '1' and redis.call('PTTL', ids) <= ends - now / 1000 "
    "then redis.call('PEXPIREAT', ids, ends) end": "it sets what is set already",
    "activity_mark: local whole = math.min(needed + math.floor(needed / 33), math.ceil(capacity / 8))": (
        "how much room a day has ahead is a measure, and a little less does as well"
    ),
    "activity_retention: for at = 4, #KEYS do redis.call('STRLEN', KEYS[at]) end": (
        "the first is read by the first merge, which leaves nothing behind when it fails"
    ),
    "counter_add: return { 2, by }": "Python reads a yes",
    "counter_add: if old then return { 2, string.format('%.0f', redis.call('INCRBY', counter, by)) } end": (
        "Python reads a yes"
    ),
    "counter_add: local bound = step <= 0 and minimum or maximum": "an addition of nothing is within every bound",
    "counter_add: local bound = step < 1 and minimum or maximum": "an addition of nothing is within every bound",
    "fragment_board: local found = { offset, 1 }": "where there are no rows, the rank of the first is not read",
    "fragment_board: if #page > 1 then": "a row is two",
    "fragment_putting: if ahead == 0 or (ahead >= 0) == (order == 'desc') then return 0, old end": (
        "what is equal was told before"
    ),
    "fragment_putting: if beyond(before, amount) then return -2, '' end": "Python reads a no",
    "fragment_putting: return 2, new": "Python reads a yes",
    "fragment_writing: local turn = redis.call('HINCRBY', places, '', 2)": (
        "places are given in the same order, with gaps"
    ),
    "leaderboard_around: if not index then return rows(board, levels, notes, order, ties, mode, noted, 1, 0) end": (
        "where there are no rows, the offset is not read"
    ),
    "leaderboard_merge: if sums[member] - sums[member] ~= 0 then return -2 end": "Python reads a no",
    "leaderboard_standing: return { size, -2, row[2] or '' }": "Python reads the score alone",
    "leaderboard_standing: if not score then return { size, -2, '' } end": "Python reads a no",
    "periodic_archive: if server_us() <= stop then return -1 end": "but for one microsecond",
    "periodic_archive: if server_us() < stop then return -2 end": "Python reads a no",
    "periodic_archive: return #page / 3": "Python reads that the period has ended, and no more",
    "periodic_put: if start > 0 and (now <= start or now >= stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "periodic_put: if start > 0 and (now < start or now > stop) then return { -2, now } end": (
        "but for one microsecond"
    ),
    "periodic_put: if start > 1 and (now < start or now >= stop) then return { -2, now } end": (
        "only what has no beginning begins then"
    ),
    "periodic_put: if ends > 1 and redis.call('PTTL', KEYS[at]) == -1 "
    "then redis.call('PEXPIREAT', KEYS[at], ends) end": "no period ends in the first milliseconds of 1970",
    "feed_leave: if redis.call('HGET', followers, name) ~= token then return 1 end": "Python does not read it",
    "feed_settle: if redis.call('HGET', following, name) ~= token then return 1 end": "Python does not read it",
    "feed_enter: return 2": "Python reads a yes",
    "feed_settle: return 2": "Python does not read it",
    "fragment_list: return string.format('%013.0f', redis.call('HINCRBY', state, 'sequence', 2))": (
        "a sequence grows; by how much is not a promise"
    ),
    "fragment_reading: if mine ~= its then return its ~= nil and mine <= its end": "they are not the same there",
    "feed_bring: return 2": "Python reads a yes",
    "fragment_reading: local one = redis.call('ZREVRANGEBYSCORE', list, time, time, 'LIMIT', middle, 2)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "fragment_list: local excess = math.min(redis.call('ZCARD', list) - most, 1001)": (
        "what one post takes away at most is a measure against long scripts, and not a promise"
    ),
    "fragment_list: if time <= tonumber(redis.call('HGET', state, lost) or 1) then return end": (
        "but for an item of the first microsecond of 1970"
    ),
    "fragment_list: if time < tonumber(redis.call('HGET', state, lost) or 0) then return end": (
        "it writes what is there already"
    ),
    "fragment_reading: for at = 2, #one do": "the first of 13 digits is 0 for a million million items",
    "session_create: local some = redis.call('HRANDFIELD', epochs, 3, 'WITHVALUES')": (
        "each login looks at some epochs; how many is not a promise"
    ),
    "session_load: if left <= idle * 0.9 and idle > 0 then": "but for one millisecond",
    "session_load: if left < idle * 0.9 and idle > 1 then": "what may be idle for a millisecond has ended by then",
    "session_load: if life <= 1 then": "but for the last millisecond",
    "session_load: if left < 1 or life - left > idle / 100 then": "but for the last millisecond",
    "session_load: if left <= 0 or life - left > idle / 100 then": "but for the last millisecond",
    "session_load: if left < 0 or life - left >= idle / 100 then": "but for one millisecond",
    "session_save: return {0, successor and tonumber(grace) >= server_us() and successor or ''}": (
        "but for one microsecond"
    ),
    "cache_expire: return header == '' and 0 or 2": "Python reads a yes",
    "cache_explain: local state, left_us, age_us, names = GONE, 0, 0, 1": "what is no entry has no names",
    "cache_invalidate: return 2": "Python does not read it",
    "cache_invalidate: if tonumber(sample[at + 1]) <= now_us - tonumber(string.sub(stamps, 33)) * 1000 then": (
        "but for one microsecond"
    ),
    "cache_invalidate: if tonumber(sample[at + 1]) < now_us - tonumber(string.sub(stamps, 34)) * 1000 then": (
        "no value lives for milliseconds of sixteen digits"
    ),
    "cache_invalidate: if tonumber(sample[at + 1]) < now_us - tonumber(string.sub(stamps, 33)) * 1001 then": (
        "how long a stamp stays that no value needs any more is not a promise"
    ),
    "cache_set: return 2": "Python reads a yes",
    "near_read: return { GONE, 1, '' }": "Python reads no time of what is not there",
    "near_read: return { state, left_us or 1, entry }": "Python reads no time of what is no entry",
    "fragment_marks: local kept_ms = stamps and tonumber(string.sub(stamps, 34)) or 0": (
        "no value lives for milliseconds of sixteen digits"
    ),
    "fragment_marks: local kept_ms = stamps and tonumber(string.sub(stamps, 33)) or 1": (
        "marks are kept for a value and its load, of a millisecond each at least"
    ),
    "fragment_marks: stamps = string.rep(string.format('%016.0f', server_us()), 3)": "the third is cut off",
    "fragment_marks: if keep_ms >= kept_ms then": "it writes what is there, and a time to live that is long enough",
    "fragment_marks: if redis.call('PTTL', marks) <= kept_ms then": "but for one millisecond",
    "fragment_marks: redis.call('PEXPIRE', marks, 3 * kept_ms)": (
        "how much longer than the values the marks live is not a promise"
    ),
    "fragment_marks: redis.call('PEXPIRE', tags, 3 * kept_ms)": (
        "how much longer than the values the marks live is not a promise"
    ),
    "fragment_marks: if tonumber(redis.call('HGET', tags, '') or 1) ~= latest then": "no stamp is of 1970",
    "fragment_marks: if tonumber(redis.call('HGET', tags, name) or 1) > generation then": "no stamp is of 1970",
    "fragment_state: local stale = left_us < 0 and string.sub(entry, 2, 2) == 's'": "but for one microsecond",
    "fragment_state: local stale = left_us <= 1 and string.sub(entry, 2, 2) == 's'": "but for one microsecond",
    "fragment_state: return lead > 0 and left_us <= tonumber(string.sub(entry, 55, 64)) * lead / 1000": (
        "but for one microsecond"
    ),
    "fragment_writers: if until_us >= server_us() then": "but for one microsecond",
    "leader_acquire: return { 0, '', 1 }": "Python does not read it",
    "leader_acquire: return { -2, leader, redis.call('PTTL', lead) }": "what is neither of the other two is the third",
    "leader_release: return 1": "Python does not read it",
    "leader_release: return 2": "Python does not read it",
    "leader_release: if pause_ms > 1 and #header == 68 and string.sub(header, 2, 2) == 's' then": (
        "but for a pause of one millisecond"
    ),
    "leader_release: if tonumber(string.sub(header, 39, 54)) <= until_us then": "it writes what is there",
    "leader_renew: return 1": "who lost the lead asks once more, and is told the same",
    "leader_store: return valid and 2 or 0": "Python reads a yes",
    "write_behind_claim: redis.call('ZADD', due, 1, part)": "it is due either way",
    "write_behind_done: return 1": "Python does not read it",
    "write_behind_done: return 2": "Python does not read it",
    "write_behind_failed: return 2": "Python does not read it",
    "write_behind_failed: return 3": "Python does not read it",
    "write_behind_put: local last = before and tonumber(string.sub(before, 1, 16)) or 1": (
        "no server's clock shows 1970"
    ),
    "write_behind_put: return 2": "Python does not read it",
    "write_through_begin: return 2": "Python does not read it",
    "write_through_end: return stored and 2 or 0": "Python reads a yes",
    "write_through_renew: return 1": "who lost the lease asks once more, and is told the same",
    "idempotency_renew: answers[at] = -2": "Python reads a no",
    "idempotency_renew: answers[at] = 1": "what is gone is asked for again, and is not brought back",
    "fragment_head: if redis.call('PTTL', key) <= life then redis.call('PEXPIRE', key, life) end": (
        "it sets the life that is there"
    ),
    "session_create: local ends = known and tonumber(known:sub(18)) or 1": "both are long past",
    "session_create: epoch = ends >= now and part(known, 1) or fresh": "but for one microsecond",
    "session_create: if tonumber(some[at + 1]:sub(18)) < now then redis.call('HDEL', epochs, some[at]) end": (
        "but for one microsecond"
    ),
    "session_load: return {'moved', successor, tonumber(grace) >= server_us() and 1 or 0}": "but for one microsecond",
    "session_load: return {'moved', successor, tonumber(grace) > server_us() and 2 or 0}": "Python reads a yes",
    "session_load: if life < 0 then": "but for the last millisecond",
    "session_load: if left < 0 or life - left > idle / 101 then": (
        "how little is not worth a write is a measure, and not a promise"
    ),
    "session_revoke_all: if successor and tonumber(grace) >= server_us() then return {'moved', successor} end": (
        "but for one microsecond"
    ),
    "session_rotate: if life < 0 then": "but for the last millisecond",
    "session_rotate: if life <= 1 then": "but for the last millisecond",
    "write_behind_done: local names = entry and tonumber(string.sub(entry, 65, 68)) or 1": (
        "what has no length there is no entry, and goes either way"
    ),
    "write_behind_claim: return tonumber(redis.call('ZRANGE', queue, 0, 1, 'WITHSCORES')[2] or math.huge)": (
        "the first score is the first, whether or not a second is read with it"
    ),
    "fragment_bucket: if not level or -level >= 2 ^ 53 then": (
        "no bucket is so far below zero, as such a limit is refused"
    ),
    "fragment_bucket: if left == -1 or speed ~= gain or math.abs(left - reset / 1000) >= 5 then": (
        "how far a time to live may be off is not a promise"
    ),
    "fragment_bucket: if left == -1 or speed ~= gain or math.abs(left - reset / 1000) > 6 then": (
        "how far a time to live may be off is not a promise"
    ),
    "fragment_debt: time, rest, owed = tonumber(time, 16), tonumber(rest, 16), tonumber(owed, 16) or 1": (
        "the most that may be owed is one share or more in any case"
    ),
    "fragment_debt: return math.min(used, math.max(most, owed), 2 ^ 54), gain": (
        "only garbage owes so much, and is over in centuries either way"
    ),
    "fragment_debt: if left == -1 or speed ~= gain or math.abs(left - used / gain / 1000) >= 5 then": (
        "how far a time to live may be off is not a promise"
    ),
    "fragment_debt: if left == -1 or speed ~= gain or math.abs(left - used / gain / 1000) > 6 then": (
        "how far a time to live may be off is not a promise"
    ),
    "gcra_hit: if charged == '1' and used <= full then": "a debt of all is written again as it is",
    "gcra_refund: return { missing > 1 and 0 or 1, math.max(math.floor((full - used) / unit), "
    "0), retry, math.ceil(used / gain) }": ("but for one microsecond"),
    "leaky_bucket_hit: if charged == '1' and used <= full then": "a debt of all is written again as it is",
    "leaky_bucket_refund: return { missing > 1 and 0 or 1, math.max(math.floor((full - used) / "
    "unit), 0), retry, math.ceil(used / gain) }": ("but for one microsecond"),
    "leaky_bucket_hit: write_debt(debt, used, now, gain, unit, 1)": "a debt of one share is over in a microsecond",
    "leaky_bucket_hit: keep_debt(debt, used, now, gain, unit, 1, speed)": (
        "a debt of one share is over in a microsecond"
    ),
    "leaky_bucket_hit: write_debt(debt, full - left, now, gain, unit, 1)": (
        "a debt of one share is over in a microsecond"
    ),
    "leaky_bucket_refund: write_debt(debt, used, now, gain, unit, 1)": "a debt of one share is over in a microsecond",
    "leaky_bucket_reserve: keep_debt(debt, used, now, gain, unit, 1, speed)": (
        "a debt of one share is over in a microsecond"
    ),
    "leaky_bucket_reserve: local mine = write_debt(debt, full - left, now, gain, unit, 1)": (
        "a debt of one share is over in a microsecond"
    ),
    "token_bucket_hit: local counted = charged == '1' and level > 1": (
        "but for one share, which is the gain of a microsecond or less"
    ),
    "token_bucket_hit: local counted = charged == '1' and level >= 0": (
        "a bucket with nothing in it is written again as it is"
    ),
    "token_bucket_refund: return { missing > 1 and 0 or 1, math.max(math.floor(level / unit), 0), retry, reset }": (
        "but for one microsecond"
    ),
    "fixed_window_cancel: local same = redis.call('GET', window) == mine and "
    "math.abs(server_us() + left * 1000 - due) < 3000": ("how far the two calls may differ is not a promise"),
    "fixed_window_cancel: local same = redis.call('GET', window) == mine and "
    "math.abs(server_us() + left * 1000 - due) <= 3001": ("how far the two calls may differ is not a promise"),
    "fixed_window_cancel: if not same or left + earlier < 1 then": (
        "an error instead of a no: nothing is changed, and who is gone reads neither"
    ),
    "fixed_window_cancel: if not same or left - earlier <= 1 then": "but for one millisecond",
    "fixed_window_cancel: if not same or left - earlier < 2 then": "but for one millisecond",
    "fixed_window_reserve: return { 0, room, cost > limit and -1 or wait, left == -2 and 0 or "
    "until_over(ends - opened), '', 1, '', 0 }": ("Python does not read the ticket of a refusal"),
    "fixed_window_reserve: return { 0, room, cost > limit and -1 or wait, left == -2 and 0 or "
    "until_over(ends - opened), '', 0, '', 1 }": ("Python does not read the ticket of a refusal"),
    "fragment_window: if not count or count % 1 ~= 0 or count <= 0 or count > 2 ^ 53 then": (
        "nothing is read as nothing"
    ),
    "fragment_window: if not count or count % 1 ~= 0 or count < 1 or count > 2 ^ 53 then": "nothing is read as nothing",
    "fragment_window: if not count or count % 1 ~= 0 or count < 0 or count >= 2 ^ 53 then": (
        "no window counts so much, as such a limit is refused"
    ),
    "fragment_window: if (ends < 1 and shorter < length) or math.max(count, length, lead) >= 2 ^ 53 then": (
        "no window counts so much, as such a limit is refused"
    ),
    "fragment_sliding: elseif passed == 1 and count >= 0 then": (
        "two windows without anything in them say the same wherever they begin"
    ),
    "fragment_sliding: if not start or math.max(start, length, due or 0, noted) >= 2 ^ 53 then": (
        "there is no such time before the year 2255"
    ),
    "fragment_sliding: if not start or math.max(start, length, due or 1, noted) > 2 ^ 53 then": (
        "a window is a microsecond long or longer"
    ),
    "fragment_sliding: local at = math.max(now, start, due or 1)": "but for the first microsecond of 1970",
    "fragment_sliding: start, at = math.max(start - excess, 1), at - excess": "but for the first microsecond of 1970",
    "fragment_sliding: return now, 0, 0, now, nil, length == period": (
        "what weighs nothing is gone in 2 ms, written again or not"
    ),
    "sliding_window_hit: local counted = charged == '1' and not due and count <= limit": (
        "a window that is full is written again as it is"
    ),
    "sliding_window_hit: if counted or changed or left == -1 or math.abs(left - reset / 1000) >= 5 then": (
        "how far a time to live may be off is not a promise"
    ),
    "sliding_window_hit: if counted or changed or left == -1 or math.abs(left - reset / 1000) > 6 then": (
        "how far a time to live may be off is not a promise"
    ),
    "sliding_window_refund: local room = (due and reset > 1) and 0 or "
    "math.max(sliding_room(start, before, count, at, limit, period), 0)": ("but for one microsecond"),
    "sliding_window_reserve: local mine = write_sliding(windows, start, before, count, period, "
    "wait > 1 and turn or nil, now, reset)": ("but for a wait of one microsecond"),
    "sliding_window_reserve: return { 1, wait > 1 and 0 or room - cost, wait, reset, mine, found }": (
        "but for a wait of one microsecond"
    ),
    "fragment_log: return tonumber(string.sub(entry, 1, 16)) or 1, tonumber(string.sub(entry, 17)) or 0": (
        "what has no time is as old as 1970"
    ),
    "fragment_log_writing: elseif passed >= 0 then": "a list that is trimmed by nothing stays as it is",
    "fragment_log_writing: if passed <= size then": "a list that is gone has no last element to drop",
    "fragment_log_writing: while weight >= 0 and first < size do": (
        "a hit that nothing is taken from is written again as it is"
    ),
    "sliding_log_cancel: redis.call('RPUSH', log, summary(total - cost, last >= now, noted))": (
        "a reservation that is due now is none for whoever reads it"
    ),
    "sliding_log_hit: size, passed, used, room, last, noted = size - passed + 2, 0, used - "
    "excess + weight, 0, at, at": ("the hits that are there weigh enough, so none beyond them is looked at"),
    "sliding_log_hit: size, passed, used, room, last, noted = size + passed + 1, 0, used - "
    "excess + weight, 0, at, at": ("the hits that are there weigh enough, so none beyond them is looked at"),
    "sliding_log_hit: if left == -1 or math.abs(left - reset / 1000) >= 5 then": (
        "how far a time to live may be off is not a promise"
    ),
    "sliding_log_hit: if left == -1 or math.abs(left - reset / 1000) > 6 then": (
        "how far a time to live may be off is not a promise"
    ),
    "sliding_log_hit: local retry = math.min(turn, reset + 3001)": "the log is gone 2 ms after nothing is used",
    "sliding_log_peek: local retry = math.min(turn, reset + 3001)": "the log is gone 2 ms after nothing is used",
    "sliding_log_refund: local used = math.max(total - gone - cost, 1)": "hits that are left weigh one or more",
    "sliding_log_refund: passed, gone = passed_hits(log, size + first, at, period)": (
        "the last hit has not passed, so none beyond it is looked at"
    ),
    "sliding_log_refund: local turn = math.max(at, freed(log, passed, size + first, used + "
    "cost - limit, period)) - now": ("the hits that are there weigh enough, so none beyond them is looked at"),
    "fragment_quota: local LONGEST = 65 * 86400 * 1000000": (
        "the longest period has 31 days, and how much longer garbage may be is not a promise"
    ),
    "fragment_quota: local LONGEST = 64 * 86401 * 1000000": (
        "the longest period has 31 days, and how much longer garbage may be is not a promise"
    ),
    "fragment_quota: local LONGEST = 64 * 86400 * 1000001": (
        "the longest period has 31 days, and how much longer garbage may be is not a promise"
    ),
    "fragment_quota: if not to or used > 2 ^ 53 or to <= now or to - now >= LONGEST then": (
        "the longest period has 31 days"
    ),
    "fragment_quota: if not to or used >= 2 ^ 53 or to <= now or to - now > LONGEST then": (
        "no quota counts so much, as such a limit is refused"
    ),
    "fragment_quota: local gone = redis.call('ZRANGE', reserved, '-inf', string.format('%.0f', "
    "now), 'BYSCORE', 'LIMIT', 0, 1001)": (
        "how many are dropped at once is a measure against long scripts, and not a promise"
    ),
    "fragment_quota: used = used - (tonumber(string.match(reservation, '^%d+')) or 1)": (
        "a reservation begins with its cost"
    ),
    "fragment_quota: if from < now then": "a period that begins now begins when it does",
    "quota_reset: return redis.call('DEL', quota) - redis.call('DEL', reserved)": "Python does not read it",
    "composite_reset: local count = 1": "Python does not read it",
    "composite_reset: count = count - redis.call('DEL', state)": "Python does not read it",
    "concurrency_enter: redis.call('ZADD', line, 'NX', string.format('%.0f', math.min(now, "
    "(last or 0) + 1)), waiter)": ("each joins behind the last one, by whatever number"),
    "concurrency_enter: redis.call('ZADD', line, 'NX', string.format('%.0f', math.max(now, "
    "(last or 1) + 1)), waiter)": ("each joins behind the last one, by whatever number"),
    "concurrency_enter: redis.call('ZADD', line, 'NX', string.format('%.0f', math.max(now, "
    "(last or 0) + 2)), waiter)": ("each joins behind the last one, by whatever number"),
    "fragment_slots: local SILENCE = 2500001 -- us without a word after which a waiter is taken for gone": (
        "but for one microsecond"
    ),
    "fragment_slots: if redis.call('PTTL', slots) <= lease then": "an expiry is set again to what it is",
    "fragment_slots: for _, waiter in ipairs(redis.call('ZRANGEBYSCORE', heard, '-inf', "
    "string.format('%.0f', now), 'LIMIT', 0, 101)) do": (
        "how many are dropped at once is a measure against long scripts, and not a promise"
    ),
    "bans_hit: if left > 1 then": "but for the last microsecond",
    "bans_hit: count, ends, level, free = 1, 0, level + 1, now + left": "what counted until 1970 counts no more",
    "bans_hit: count, ends, level, free = 0, 1, level + 1, now + left": "a time that ended in 1970 is over",
    "bans_hit: local lasts = math.max(ends, level >= 0 and free + longest or 0) - now": (
        "without a ban before, that is a time in 1970"
    ),
    "bans_hit: local lasts = math.max(ends, level > 0 and free + longest or 1) - now": "a time in 1970 is over",
    "bans_hit: return banned_answer(answer, left, fresh and 2 or 0)": "Python reads a yes",
    "bans_peek: if left > 1 then": "but for the last microsecond",
    "bans_peek: return banned_answer(answer, left, 1)": "Python does not read it",
    "bans_peek: return { answer[1], answer[2], answer[3], answer[4], 0, 1 }": "Python does not read it",
    "fragment_bans: local retry = answer[3] < 0 and -2 or math.max(answer[3], left)": (
        "Python reads whatever is below zero as never"
    ),
    "fragment_bans: return 1, 0, 0, 0, 0": "what counted until 1970 counts no more",
    "fragment_bans: return 0, 1, 0, 0, 0": "what counted until 1970 counts no more",
    "fragment_bans: return 0, 0, 0, 1, 0": "a ban that ended in 1970 is over",
    "admission: if redis.call('PTTL', key) <= ms then redis.call('PEXPIRE', key, math.ceil(ms)) end": (
        "it writes the expiry that is there"
    ),
    (
        "admission: local last = redis.call('ZRANGE', line, ends, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 2, "
        "'WITHSCORES')[2]"
    ): ("the first is the first, whether or not a second is read with it"),
    "admission: return math.max(range + now, (last or FIRST) + 2)": "behind the last is behind the last",
    "admission: local first = redis.call('EXISTS', lock) == 0 and redis.call('ZRANGE', line, 0, 1)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "admission: first = mode == 'r' and redis.call('ZRANGE', line, 0, 1)[1]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "admission: local left = math.max(math.ceil(((redis.call('ZSCORE', beats, first) or now) - now) / 1000), 2)": (
        "who gives no sign of life any more has a millisecond more"
    ),
    "barrier_leave: if index then return { 2, index, '' } end": "Python looks whether it is negative",
    "barrier_leave: if broken then return { -2, 0, broken } end": "Python looks whether it is negative",
    "barrier_leave: if broken then return { -1, 1, broken } end": "no index is read where it is broken",
    "barrier_leave: return { 1, 0, '' }": "Python does not read it",
    "barrier_leave: return { 0, 1, '' }": "Python does not read it",
    "barrier_rounds: return { -2, 0, reason }": "Python looks whether it is negative",
    "barrier_rounds: return { -1, 1, reason }": "no index is read where it is broken",
    "barrier_wait: if index then return { 2, index, '' } end": "Python looks whether it is 0 or negative",
    "barrier_wait: if broken then return { -2, 0, broken } end": "Python looks whether it is negative",
    "barrier_wait: if broken then return { -1, 1, broken } end": "no index is read where it is broken",
    "barrier_wait: if known == '1' and not arrived then return { -2, 0, 'it was reset' } end": (
        "Python looks whether it is negative"
    ),
    "barrier_wait: if known == '1' and not arrived then return { -1, 1, 'it was reset' } end": (
        "no index is read where it is broken"
    ),
    (
        "barrier_wait: pass(state, here, past, alive, math.floor(now / 1000001), math.ceil(math.max(lease / "
        "1000, 10)) + 1, ttl)"
    ): ("these seconds are compared with one another alone"),
    "barrier_wait: return { 2, rank, '' }": "Python looks whether it is 0 or negative",
    "barrier_wait: local first = redis.call('ZRANGE', alive, 0, 1, 'WITHSCORES')": (
        "the first is the first, whether or not a second is read with it"
    ),
    "barrier_wait: return { 0, math.ceil((first[2] - now) / 1000) - 1, '' }": (
        "who waits looks a millisecond earlier, and once more"
    ),
    "barrier_wait: return { 0, math.ceil((first[2] - now) / 1001) + 1, '' }": (
        "who waits looks a thousandth earlier, and once more"
    ),
    "barrier_wait: return { 0, math.ceil((first[2] - now) / 1000) + 2, '' }": "who waits looks a millisecond later",
    "enroll: redis.call('PEXPIRE', waiters, 5001)": "a millisecond more than it takes to note it again",
    "enroll: if redis.call('ZCARD', waiters) > 1000 then": "how many of the dead may stay is no promise",
    "enroll: if redis.call('ZCARD', waiters) >= 1001 then": "how many of the dead may stay is no promise",
    "lock_acquire: return left <= 0 and -1000 or -math.max(left, 1)": "but for the last millisecond",
    "lock_acquire: return left < 1 and -1000 or -math.max(left, 1)": "but for the last millisecond",
    "lock_acquire: return left < 0 and -1001 or -math.max(left, 1)": "who waits looks once a second at least",
    "lock_acquire: return left < 0 and -1000 or -math.max(left, 2)": "but for the last millisecond",
    "lock_break: return 2": "Python reads a yes",
    "lock_hand_over: if not fence_of(redis.call('GET', lock), token) then return -2 end": (
        "Python looks whether it is negative"
    ),
    "lock_hand_over: local first = redis.call('ZRANGE', waiters, 0, 1, 'WITHSCORES')": (
        "the first is the first, whether or not a second is read with it"
    ),
    "lock_hand_over: if tonumber(first[2]) <= since then": "but for two who began in the same microsecond",
    "lock_release: return 2": "Python reads a yes",
    "lock_renew: answers[at] = -2": "Python looks whether it is negative",
    "lock_undo: return mine and 2 or 0": "Python does not read it",
    "multi_lock_acquire: return left <= 0 and -1000 or -math.max(left, 1)": "but for the last millisecond",
    "multi_lock_acquire: return left < 1 and -1000 or -math.max(left, 1)": "but for the last millisecond",
    "multi_lock_acquire: return left < 0 and -1001 or -math.max(left, 1)": "who waits looks once a second at least",
    "multi_lock_acquire: return left < 0 and -1000 or -math.max(left, 2)": "but for the last millisecond",
    "multi_lock_acquire: redis.call('SET', KEYS[at + 1], string.format('%.0f', number), 'PX', 86400001)": (
        "a millisecond more than a day"
    ),
    "multi_lock_release: local all = 2": "Python reads a yes",
    (
        "permit_line: local silent = redis.call('ZRANGEBYSCORE', heard, '-inf', string.format('%.0f', now), "
        "'LIMIT', 0, 101)"
    ): ("how many one call drops is a measure against long scripts, and not a promise"),
    "permit_line: redis.call('ZADD', heard, string.format('%.0f', now + 2500001), place)": (
        "a microsecond more than two seconds and a half"
    ),
    "permit_line: redis.call('PEXPIRE', line, 5001)": "a millisecond more than it takes to note it again",
    "permit_line: redis.call('PEXPIRE', heard, 5001)": "a millisecond more than it takes to note it again",
    (
        "permit_line: for _, place in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', before, 'LIMIT', 0, "
        "math.max(free, 1))) do"
    ): ("where none is free, less than none is not enough either"),
    "permit_line: if free < 0 then return end": "nobody wants none",
    "permit_line: for _, place in ipairs(redis.call('ZRANGE', line, 0, 100)) do": (
        "how many one call looks at is a measure against long scripts, and not a promise"
    ),
    "permits: if redis.call('PTTL', permits) <= tonumber(lease) then redis.call('PEXPIRE', permits, lease) end": (
        "it writes the expiry that is there"
    ),
    "queued_lock_acquire: local first = redis.call('ZRANGE', line, 0, 1, 'WITHSCORES')": (
        "the first is the first, whether or not a second is read with it"
    ),
    "queued_lock_acquire: local ends = redis.call('ZRANGE', readers, 0, 1, 'WITHSCORES')[2]": (
        "the first is the first, whether or not a second is read with it"
    ),
    "queued_lock_acquire: if not me then return -2 end": "Python looks whether it is negative",
    "queued_lock_acquire: local range = mode == 'u' and FIRST or mode == 'w' and 1 or held and AHEAD or BEHIND": (
        "all writers stand a microsecond later"
    ),
    "queued_lock_acquire: local left = held and redis.call('PTTL', lock) or ends and math.ceil((ends - now) / 1001)": (
        "who is first looks a thousandth earlier, and once more"
    ),
    "queued_lock_break: return math.min(held, 2)": "Python reads a yes",
    "queued_lock_release: return (writes or mode == 'r' and reads) and 2 or 0": "Python reads a yes",
    "queued_lock_renew: answers[at] = reads and 2 or 0": "Python looks whether it is positive",
    "queued_lock_undo: return 2": "Python does not read it",
    "read_write_lock_downgrade: return 2": "Python reads a yes",
    "redlock_acquire: return { -math.max(redis.call('PTTL', lock), 2), 1 }": "Python looks whether it is negative",
    "redlock_acquire: return { -math.max(redis.call('PTTL', lock), 1), 2 }": "Python reads a yes",
    "redlock_acquire: local young = uptime and uptime * 1000 < lease + 1000 and noted ~= run": (
        "in the one second in which they differ the server has run for longer than the lease"
    ),
    "redlock_acquire: local young = uptime and uptime * 1000 <= lease + 1001 and noted ~= run": (
        "the uptime is in whole seconds"
    ),
    "redlock_acquire: return { newest or clock(), young and 0 or 2 }": "Python reads a yes",
    "redlock_confirm: local newest = math.max(read_note(redis.call('GET', fence)) or 1, number)": (
        "every fence is greater"
    ),
    "redlock_confirm: redis.call('SET', fence, string.format('%.0f %s', newest, this_run()), 'PX', 86400001)": (
        "a millisecond more than a day"
    ),
    "redlock_mend: if newest and newest > tonumber(number) then return 1 end": "Python does not read it",
    "redlock_mend: if not redis.call('SET', lock, token, 'NX', 'PX', lease) then return 1 end": (
        "Python does not read it"
    ),
    "redlock_mend: redis.call('SET', fence, number .. ' ' .. this_run(), 'PX', 86400001)": (
        "a millisecond more than a day"
    ),
    "redlock_mend: return 2": "Python does not read it",
    "semaphore_acquire: local place, since = wanted .. ' ' .. (inbox or ''), now - (waited or 1)": (
        "a microsecond, for one who takes no place"
    ),
    "semaphore_acquire: local first = redis.call('ZRANGE', permits, 0, 1, 'WITHSCORES')": (
        "the first is the first, whether or not a second is read with it"
    ),
    "semaphore_acquire: return first[2] and -math.max(math.ceil((first[2] - now) / 1001), 1) or -1000": (
        "who waits looks a thousandth earlier, and once more"
    ),
    "semaphore_acquire: return first[2] and -math.max(math.ceil((first[2] - now) / 1000), 2) or -1000": (
        "but for the last millisecond"
    ),
    "semaphore_acquire: return first[2] and -math.max(math.ceil((first[2] - now) / 1000), 1) or -1001": (
        "who waits looks once a second at least"
    ),
    "semaphore_release: return dropped > 0 and 2 or 0": "Python reads a yes",
    "semaphore_renew: answers[at] = held and 2 or 0": "Python looks whether it is positive",
    "take: redis.call('SET', fence, string.format('%.0f', number), 'PX', 86400001)": "a millisecond more than a day",
}
"""By `<script>: <the mutant's line>`."""
