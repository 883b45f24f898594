# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The report is one whole page that loads nothing and shows the figures of the result."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from result_files import CLASS_NAMES, PALETTE, START_NS, make_drive, make_record, make_result

from seg_perception.errors import UserError
from seg_perception.evaluation.reports.html_report import write_report
from seg_perception.evaluation.reports.report_frames import ReportFrame
from seg_perception.perception.labels import LabelSpace

SPACE = LabelSpace('street', CLASS_NAMES, PALETTE)
VOID_TAGS = ('meta', 'input', 'img', 'br', 'link')
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), '')
# Presses a key, sorts, points at a plot, and leaves what it sees in the page.
PROBE = """
<script>
const seen = [];
const read = () => document.getElementById('caption').textContent;
seen.push(read());
document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
seen.push(read(), document.querySelector('.cursor').getAttribute('transform'));
seen.push(document.querySelector('#scrubber img').src.slice(0, 22));
const heads = document.querySelectorAll('#classes thead th');
for (const times of [1, 2]) {
  heads[1].click();
  seen.push([...document.querySelectorAll('#classes tbody th')].map((e) => e.textContent).join());
}
const plot = document.querySelector('svg');
const box = plot.getBoundingClientRect();
const point = {clientX: box.right - 1, clientY: box.top + 5};
plot.dispatchEvent(new MouseEvent('mousemove', point));
seen.push(document.getElementById('readout').textContent);
plot.dispatchEvent(new MouseEvent('click', point));
seen.push(document.getElementById('slider').value);
document.body.insertAdjacentHTML('beforeend', '<pre id="seen"></pre>');
document.getElementById('seen').textContent = JSON.stringify(seen);
</script>
</body>
"""


class Page(HTMLParser):
    """Reads a page; fails where an element is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.figures: dict[str, str] = {}
        self.data = ''
        self._figure = ''
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ('src', 'href', 'action', 'data') if values.get(key)]
        self._figure = values.get('data-figure', self._figure if tag == 'b' else '')
        if tag not in VOID_TAGS:
            self.open.append('script#data' if values.get('id') == 'data' else tag)

    def handle_startendtag(self, tag, attributes):
        """Nothing is left open."""

    def handle_endtag(self, tag):
        assert self.open.pop().split('#')[0] == tag

    def handle_data(self, data):
        where = self.open[-1] if self.open else ''
        if where == 'script#data':
            self.data += data
        elif where == 'b' and self._figure:
            self.figures[self._figure] = data
        elif where not in ('script', 'style'):
            self.texts.append(data)


def make_frames(count=12, with_truth=True, bag='', space=SPACE):
    """Return pictures whose left half is road and whose right half is taken for sky."""
    generator = np.random.default_rng(0)
    mask, truth = np.zeros((48, 96), np.uint8), np.zeros((48, 96), np.uint8)
    mask[:, 48:], truth[:, 48:] = 3, 1
    return [
        ReportFrame(
            index,
            START_NS + index,
            generator.integers(0, 256, (48, 96, 3)).astype(np.uint8),
            mask,
            truth if with_truth else None,
            space,
            bag,
        )
        for index in range(count)
    ]


def read_page(folder, result, frames=()):
    return Page(write_report(folder, result, frames).read_text(encoding='utf-8'))


def test_figures_are_those_of_the_result(tmp_path):
    result = make_result(make_drive(), pq=0.4321, frames_dropped=3)
    page = read_page(tmp_path, result, make_frames())
    shown = {key: float(text.split()[0]) for key, text in page.figures.items()}
    assert {'miou', 'ece', 'pq', 'latency_p95_ms', 'frames_dropped'} <= set(shown)
    for key, value in shown.items():
        assert value == pytest.approx(result[key], abs=0.0005)
    # figures that do not exist have no place
    assert 'sq' not in shown


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    path = write_report(tmp_path, make_result(make_drive()), make_frames())
    text = path.read_text(encoding='utf-8')
    assert all(link.startswith('data:image/jpeg;base64,') for link in Page(text).links)
    assert not re.search(r'https?://|@import|url\(', text)
    assert "default-src 'none'" in text


def test_data_of_the_script_are_the_frames(tmp_path):
    drive = make_drive(30)
    drive[5] = make_record(5, status='dropped', metrics={}, times_ms={})
    data = json.loads(read_page(tmp_path, make_result(drive), make_frames()).data)
    frames = data['frames']
    assert frames['index'] == list(range(30))
    assert frames['time_s'] == pytest.approx(np.arange(30) / 10)
    assert (frames['status'][5], frames['miou'][5], frames['latency_ms'][5]) == (
        'dropped', None, None
    )  # fmt: skip
    # 1000 of 1000 building, and what the drive has of 1000 road pixels
    right = drive[7]['metrics']['confusion'][0][2]
    assert frames['accuracy'][7] == pytest.approx((1000 + right) / 2000, abs=1e-4)
    assert [picture['frame'] for picture in data['pictures']] == list(range(12))
    assert set(data['pictures'][0]['tiles']) == {'image', 'overlay', 'truth', 'error'}


def test_records_and_summary_lie_beside_the_page(tmp_path):
    drive = make_drive(5)
    write_report(tmp_path, make_result(drive), [])
    lines = (tmp_path / 'frames.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{'bag': 'bags/street', **r} for r in drive]
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['miou'] == 0.75 and summary['setup']['label_space'] == 'street'
    assert summary['bags'] == [{'bag': 'bags/street', 'records': 5}]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'frames.jsonl', 'report.html', 'summary.json'
    ]  # fmt: skip


def test_text_from_outside_is_escaped(tmp_path):
    evil = '</script><script>alert(1)</script><b>&"'
    result = make_result(make_drive(), bag=evil, faults=[evil], occupancy={evil: {evil: evil}})
    result['setup'].update(model=evil, machine={'cpu': evil, evil: evil})
    space = LabelSpace('street', (evil, *CLASS_NAMES[1:]), PALETTE)
    result['setup']['class_names'] = list(space.class_names)
    result['per_class_iou'] = {evil: 0.5}
    path = write_report(tmp_path, result, make_frames(bag=evil, space=space))
    text = path.read_text(encoding='utf-8')
    assert '<script>alert' not in text
    assert text.count('</script>') == 2
    assert json.loads(Page(text).data)['bags'] == [evil]


def test_the_worst_frames_are_named_with_what_was_taken_for_what(tmp_path):
    drive = make_drive(40)
    drive[20]['metrics']['confusion'] = [[0, 1, 900], [1, 1, 100]]
    frames = make_frames(40)
    text = ' '.join(read_page(tmp_path, make_result(drive), frames).texts)
    worst = text[text.index('Worst frames') :]
    assert worst.index('bags/street, image 21') < worst.index('road as building')
    assert '90.00 %' in worst and worst.count('mIoU') == 8


def test_a_result_without_labels_has_times_and_pictures(tmp_path):
    drive = [make_record(i, status='unlabelled', metrics={}) for i in range(20)]
    scores = dict.fromkeys(('miou', 'pixel_accuracy', 'boundary_f', 'ece'))
    result = make_result(drive, per_class_iou={}, flicker={}, **scores)
    page = read_page(tmp_path, result, make_frames(5, with_truth=False))
    text = ' '.join(page.texts)
    assert 'Latency of each frame' in text
    assert 'Worst frames' not in text and 'Confusion' not in text and 'Scores of' not in text
    assert set(json.loads(page.data)['pictures'][0]['tiles']) == {'image', 'overlay'}


@pytest.mark.parametrize(
    'records', [[], [make_record(0, status='unreadable', metrics={}, times_ms={})]]
)
def test_a_result_without_frames_is_a_page(records, tmp_path):
    read_page(tmp_path, make_result(records))


def test_live_runs_show_processor_and_memory(tmp_path):
    points = [{'t_s': i / 2, 'cpu_percent': 150.0, 'rss_mb': 400.0 + i} for i in range(9)]
    text = ' '.join(read_page(tmp_path, make_result(make_drive(), timeline=points)).texts)
    assert 'Processor of the node' in text and 'Memory of the node' in text


def test_a_long_drive_with_large_pictures_stays_below_8_mb(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (360, 720, 3)).astype(np.uint8)
    ids = (noise[..., 0] & 1).astype(np.uint8)
    frames = [ReportFrame(i * 50, 0, noise, ids, 1 - ids, SPACE) for i in range(60)]
    path = write_report(tmp_path, make_result(make_drive(3000)), frames)
    assert path.stat().st_size < 8e6
    data = json.loads(Page(path.read_text(encoding='utf-8')).data)
    shown = [data['frames']['index'][p['frame']] for p in data['pictures']]
    assert shown[0] == 0 and shown[-1] == 59 * 50 and len(shown) > 5


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write .*file'):
        write_report(tmp_path / 'file', make_result(make_drive(3)), [])


def test_a_damaged_result_is_refused(tmp_path):
    with pytest.raises(UserError, match='the result is no result of an evaluation'):
        write_report(tmp_path / 'report', {'miou': 1.0}, [])
    assert not (tmp_path / 'report').exists()


@pytest.mark.skipif(not BROWSER, reason='needs chromium or google-chrome')
def test_the_page_works_in_a_browser(tmp_path):
    result = make_result(make_drive(30))
    result['flicker']['sky'] = 0.1  # a row without an IoU, which comes last either way
    path = write_report(tmp_path, result, make_frames())
    probed = path.with_name('probed.html')
    probed.write_text(path.read_text(encoding='utf-8').replace('</body>', PROBE), encoding='utf-8')
    run = subprocess.run(
        [
            BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
            f'--user-data-dir={tmp_path / "profile"}', '--virtual-time-budget=2000', '--dump-dom',
            probed.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ':CONSOLE' not in run.stderr
    # the last one: the script itself has the same text
    seen = re.findall('<pre id="seen">(.*?)</pre>', run.stdout, re.DOTALL)[-1]
    first, second, cursor, source, ascending, descending, readout, slider = json.loads(seen)
    assert first.startswith('0.00 s   image 1 ') and second.startswith('0.10 s   image 2 ')
    assert cursor.startswith('translate(') and not cursor.startswith('translate(0 ')
    assert source == 'data:image/jpeg;base64'
    assert (ascending, descending) == ('car,building,road,sky', 'road,building,car,sky')
    assert readout.startswith('2.90 s   image 30 ') and slider == '11'
