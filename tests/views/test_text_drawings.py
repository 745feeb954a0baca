"""What is drawn of reports of each sort."""

from __future__ import annotations

from . import samples
from .drawing import drawn
from .samples import entry, report, savepoint


def test_what_went_well_is_a_line_a_step() -> None:
    assert drawn(samples.happy()) == (
        """
sign-up committed: 4 done

  ✓ create_user   email='ada@example.com'  12 ms
  ✓ make_home     name='ada'                3 ms
  ✓ charge        card='4…', amount=900   403 ms
  ✓ send_welcome  user=17                  80 ms
commit hooks
  ✓ increment
"""
    )


def test_a_rollback_is_drawn_forward_and_then_back() -> None:
    assert drawn(samples.rolled_back()) == (
        """
sign-up rolled back: charge failed (ConnectionError('gateway')), 3 undone, 1
  left: mail (no rollback handler), never started: send_welcome

  ✓ create_user   email='ada@example.com'  12 ms
  ✓ make_home     name='ada'                3 ms
  ✓ mail          to='ada@example.com'    283 ms
  ✗ charge        card='4…', amount=900   190 ms
      ConnectionError('gateway')
  · send_welcome  user=17          never started
rolling back
  ↶ charge        card='4…', amount=900    20 ms
  ! mail          to='ada@example.com'
      left: no rollback handler
  ↶ make_home     name='ada'               10 ms
  ↶ create_user   email='ada@example.com'  10 ms
"""
    )


def test_what_could_not_be_undone_says_why() -> None:
    assert drawn(samples.failing_undo()) == (
        """
order rolled back with failures: ship failed (ConnectionError('no courier')),
  2 undone, undo of charge failed (OSError('no route')), conflict in set_price
  (RollbackConflict('it is 4 by now')), skipped: print_label, abandoned: reserve

  ✓ reserve      item='tea'
  ✓ charge       card='4…', amount=900
  ✓ set_price    item='tea', price=3
  ✗ print_label  address='the moon'
      LookupError('no courier')
  ✓ pack         item='tea'
  ✗ ship         address='the moon'
      ConnectionError('no courier')
rolling back
  ! print_label  address='the moon'
      skipped: needs its result, which it does not have
  ↶ ship         address='the moon'
  ↶ pack         item='tea'
  ≠ set_price    item='tea', price=3
      conflict: RollbackConflict('it is 4 by now')
  ✗ charge       card='4…', amount=900  3 attempts
      undo failed: OSError('no route')
  ! reserve      item='tea'              abandoned
"""
    )


def test_attempts_are_counted_both_ways() -> None:
    assert drawn(samples.retries()) == (
        """
publish rolled back: upload failed (TimeoutError('no answer in 10 s')), 3
  undone

  ↻ download  url='https://example.com/a'  3 attempts  1.2 s
  ✓ convert   path='a.png'                             2.3 s
  ✗ upload    path='a.webp'          10 attempts  1 min 25 s
      TimeoutError('no answer in 10 s')
rolling back
  ↶ upload    path='a.webp'                            1.0 s
  ↶ convert   path='a.png'                 4 attempts  4.0 s
  ↶ download  url='https://example.com/a'             100 ms
"""
    )


def test_what_a_savepoint_contains_is_indented_and_undone_where_that_ended() -> None:
    assert drawn(samples.nested()) == (
        """
trip committed: 7 done, 1 failed, on the way, 2 undone

  ✓ open_trip       name='Rome'
  ↶ try full      savepoint, rolled back
    ✓ note          text='Rome, full'
    ✗ book          hotel='full'
        LookupError('no room in full')
  ✓ try free                   savepoint
    ✓ book          hotel='free'
    ✓ extras                   savepoint
      ✓ breakfast
      ↻ parking     days=3    2 attempts
    ✓ remove_draft  '/tmp/trip'  by hand
  ✓ pay             amount=900
rolling back
  ↶ book            hotel='full'
  ↶ note            text='Rome, full'
"""
    )


def test_what_ran_at_the_same_time_is_in_a_bracket() -> None:
    assert drawn(samples.fan_out(5)) == (
        """
mirror rolled back: fetch failed (OSError('disk full')), 6 undone

  ✓ plan   parts=5  100 ms
┌ ✓ fetch  part=0    2.3 s
│ ✓ fetch  part=1    2.3 s
│ ✓ fetch  part=2    2.2 s
│ ✗ fetch  part=3    2.2 s
│     OSError('disk full')
└ ✓ fetch  part=4    2.2 s
rolling back
  ↶ fetch  part=3    50 ms
  ↶ fetch  part=4   100 ms
  ↶ fetch  part=2   100 ms
  ↶ fetch  part=1   100 ms
  ↶ fetch  part=0   100 ms
  ↶ plan   parts=5   1.0 s
"""
    )


def test_what_contains_others_may_be_in_a_bracket_too() -> None:
    inner = [entry("a", at=(1.1, 1.2)), entry("b", at=(1.15, 1.3)), entry("c", at=(1.4, 1.5))]
    steps = [
        savepoint("left", inner, at=(1, 2)),
        entry("right", at=(1.5, 3), contains=[entry("d", state="failed", error="E()")], state="failed", error="E()"),
        entry("after", at=(3, 4)),
        savepoint("one", [entry("e", at=(5, 6)), entry("f", at=(5, 7))], at=(5, 7)),
        savepoint("two", [entry("g", at=(6, 7)), entry("h", at=(6, 7))], at=(6, 7)),
    ]
    assert drawn(report("t", "committed", steps)) == (
        """
t committed: 8 done, 2 failed

┌ ✓ left  savepoint  1.0 s
│ ┌ ✓ a             100 ms
│ └ ✓ b             150 ms
│   ✓ c             100 ms
│ ✗ right            1.5 s
│   ✗ d
└       E()
  ✓ after            1.0 s
┌ ✓ one   savepoint  2.0 s
│ ┌ ✓ e              1.0 s
│ └ ✓ f              2.0 s
│ ✓ two   savepoint  1.0 s
│ ┌ ✓ g              1.0 s
└ └ ✓ h              1.0 s
"""
    )


def test_undos_that_ran_at_the_same_time_are_in_a_bracket() -> None:
    steps = [
        entry("a", undo="undone", undone_at=(5, 7)),
        entry("b", undo="undone", undone_at=(4, 6)),
        entry("c", undo="not undone"),
        entry("d", undo="running", undone_at=(3, None)),
    ]
    assert drawn(report("t", "rolling back", steps, error="KeyError(1)")) == (
        """
t rolling back: after KeyError(1), 2 undone, 1 left: c

  ✓ a
  ✓ b
  ✓ c
  ✓ d
rolling back
  ▸ d  running
  ! c     left
┌ ↶ b    2.0 s
└ ↶ a    2.0 s
"""
    )


def test_a_classic_queue_tells_what_has_stopped_it_and_what_is_queued() -> None:
    assert drawn(samples.queue()) == (
        """
ActionQueue execute: Chown failed (PermissionError(1, 'not permitted')), 2
  done, 2 queued

  ✓ CreateFile  '/srv/a'
  ↻ CopyFile    '/srv/a', '/srv/b'  2 attempts
  ✗ Chown       '/srv/b'
      PermissionError(1, 'not permitted')
  · Restart     'web'                   queued
  · Notify      'ops'                   queued
"""
    )


def test_what_a_dead_process_has_left_tells_why_it_is_stuck() -> None:
    assert drawn(samples.from_journal_stuck()) == (
        """
order stuck: the undo of charge failed 5 times: OSError('x'), 1 undone, undo
  of charge failed (OSError('x')), commit hook send_receipt not run

  ✓ create_user   email='ada@example.com'
  ✓ charge        card='***', amount=900
  ? ship          address='the moon'  outcome unknown
rolling back
  ∅ ship          address='the moon'   never happened
  ✗ charge        card='***', amount=900   5 attempts
      undo failed: OSError('x')
  ↶ create_user   email='ada@example.com'
commit hooks
  ! send_receipt                              not run
"""
    )


def test_what_is_running_is_drawn_while_it_is() -> None:
    assert drawn(samples.live()) == (
        """
mirror open: 2 done, 2 running, 1 queued

  ✓ plan     parts=3     100 ms
┌ ✓ fetch    part=0      700 ms
│ ▸ fetch    part=1     running
│ ▸ fetch    part=2  2 attempts
└     running: after TimeoutError()
  · publish              queued
"""
    )


def test_ten_thousand_steps_fold_but_for_those_to_look_at() -> None:
    assert drawn(samples.huge()) == (
        """
import rolled back: upload failed (ConnectionError('reset by peer')), 9 999
  undone, 1 left: upload (irreversible)

  ✓ upload  path='00000.png'              9 ms
  ✓ upload  path='00001.png'              9 ms
  ✓ upload  path='00002.png'              9 ms
  ✓ upload  path='00003.png'              9 ms
  ✓ upload  path='00004.png'              9 ms
  ✓ upload  path='00005.png'              9 ms
  ✓ upload  path='00006.png'              9 ms
  ✓ upload  path='00007.png'              9 ms
  … 1 992 more of upload …
  ↻ upload  path='02000.png'  3 attempts  9 ms
  … 2 999 more of upload …
  ✓ upload  path='05000.png'              9 ms
  … 999 more of upload …
  ↻ upload  path='06000.png'  3 attempts  9 ms
  … 3 997 more of upload …
  ✓ upload  path='09998.png'              9 ms
  ✗ upload  path='09999.png'              9 ms
      ConnectionError('reset by peer')
rolling back
  ↶ upload  path='09999.png'             10 ms
  ↶ upload  path='09998.png'             10 ms
  ↶ upload  path='09997.png'             10 ms
  ↶ upload  path='09996.png'             10 ms
  ↶ upload  path='09995.png'             10 ms
  ↶ upload  path='09994.png'             10 ms
  ↶ upload  path='09993.png'             10 ms
  ↶ upload  path='09992.png'             10 ms
  … 4 991 more of upload …
  ! upload  path='05000.png'
      left: irreversible
  … 4 998 more of upload …
  ↶ upload  path='00001.png'             10 ms
  ↶ upload  path='00000.png'             10 ms
"""
    )


def test_twenty_columns_and_ascii_are_enough() -> None:
    assert drawn(samples.rolled_back(), width=20, unicode=False) == (
        """
sign-up rolled
  back: charge
  failed (Connection
  Error('gateway'...

  + create_user
      12 ms
  + make_home   3 ms
  + mail      283 ms
  x charge    190 ms
      ConnectionErro
      r('gateway')
  . send_welcome
      never started
rolling back
  < charge     20 ms
  ! mail  to='ada...
      left: no
      rollback
      handler
  < make_home  10 ms
  < create_user
      10 ms
"""
    )


def test_ascii_has_brackets_of_its_own() -> None:
    assert drawn(samples.live(), unicode=False) == (
        """
mirror open: 2 done, 2 running, 1 queued

  + plan     parts=3     100 ms
, + fetch    part=0      700 ms
| > fetch    part=1     running
| > fetch    part=2  2 attempts
`     running: after TimeoutError()
  . publish              queued
"""
    )


def test_hostile_texts_are_shown_escaped() -> None:
    steps = [entry("two\nlines", "\x1b[31m"), entry("a\u202eb", "\ud800"), entry("東京都", "名前='ｱ'"), entry(" ")]
    assert drawn(report("a\tb", "committed", steps)) == (
        r"""
a\tb committed: 4 done

  ✓ two\nlines  \x1b[31m
  ✓ a\u202eb    \ud800
  ✓ 東京都      名前='ｱ'
  ✓ (no name)
"""
    )
