'use strict';

// What the tables and plots of the page do when someone touches them. No library.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const { frames, pictures } = data;
  const plots = [...document.querySelectorAll('svg')].filter(
    (svg) => svg.querySelector('.cursor') && !svg.closest('.load'));
  const slider = document.getElementById('slider');
  const readout = document.getElementById('readout');
  const endS = Math.max(frames.time_s[frames.time_s.length - 1] || 0, 1e-3);

  function describe(frame) {
    const parts = [`${frames.time_s[frame].toFixed(2)} s`];
    if (data.bags.length > 1) parts.push(data.bags[frames.bag[frame]]);
    parts.push(`image ${frames.index[frame] + 1}`);
    if (frames.miou[frame] !== null) parts.push(`mIoU ${frames.miou[frame].toFixed(3)}`);
    if (frames.accuracy[frame] !== null) {
      parts.push(`pixel accuracy ${frames.accuracy[frame].toFixed(3)}`);
    }
    if (frames.latency_ms[frame] !== null) parts.push(`${frames.latency_ms[frame].toFixed(1)} ms`);
    if (frames.status[frame] !== 'scored') parts.push(frames.status[frame]);
    return parts.join('   ');
  }

  // Position of the number nearest to a value in an ascending list.
  function findNearest(values, value) {
    let low = 0;
    let high = values.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (values[middle] <= value) low = middle; else high = middle;
    }
    return high >= 0 && Math.abs(values[high] - value) < Math.abs(values[low] - value) ? high : low;
  }

  function moveCursors(timeS) {
    for (const svg of plots) {
      const left = Number(svg.dataset.left);
      const x = left + (Number(svg.dataset.right) - left) * timeS / endS;
      const cursor = svg.querySelector('.cursor');
      cursor.style.visibility = 'visible';
      cursor.setAttribute('transform', `translate(${x - left} 0)`);
    }
  }

  function showPicture(number) {
    const { frame, tiles } = pictures[number];
    for (const image of document.querySelectorAll('#scrubber img')) {
      const source = tiles[image.dataset.tile];
      image.style.visibility = source ? 'visible' : 'hidden';
      if (source) image.src = source;
    }
    slider.value = number;
    document.getElementById('caption').textContent = describe(frame);
    moveCursors(frames.time_s[frame]);
  }

  function readTime(svg, event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const left = Number(svg.dataset.left);
    const share = (x - left) / (Number(svg.dataset.right) - left);
    return Math.min(Math.max(share, 0), 1) * endS;
  }

  function followMouse(svg) {
    svg.addEventListener('mousemove', (event) => {
      readout.textContent = describe(findNearest(frames.time_s, readTime(svg, event)));
    });
    svg.addEventListener('mouseleave', () => { readout.textContent = ''; });
    svg.addEventListener('click', (event) => {
      const timeS = readTime(svg, event);
      if (pictures.length) {
        showPicture(findNearest(pictures.map((entry) => frames.time_s[entry.frame]), timeS));
      } else {
        moveCursors(timeS);
      }
    });
  }

  function startScrubber() {
    document.getElementById('scrubber').hidden = false;
    slider.addEventListener('input', () => showPicture(Number(slider.value)));
    document.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      // the slider itself knows these keys
      if (!step || event.target === slider || event.altKey || event.ctrlKey || event.metaKey) return;
      const number = Number(slider.value) + step;
      if (number >= 0 && number < pictures.length) showPicture(number);
      event.preventDefault();
    });
    showPicture(0);
  }

  function sortRows(table, column, direction) {
    const body = table.tBodies[0];
    const readValue = (row) => {
      const { value } = row.cells[column].dataset;
      return value === '' ? null : Number(value);
    };
    const rows = [...body.rows].sort((first, second) => {
      const a = readValue(first);
      const b = readValue(second);
      // what has no value comes last in either direction
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (a - b);
    });
    body.append(...rows);
  }

  function makeSortable(table) {
    table.classList.add('active');
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.tabIndex = 0;
      const sort = () => {
        const isAscending = head.getAttribute('aria-sort') !== 'ascending';
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', isAscending ? 'ascending' : 'descending');
        sortRows(table, column, isAscending ? 1 : -1);
      };
      head.addEventListener('click', sort);
      head.addEventListener('keydown', (event) => { if (event.key === 'Enter') sort(); });
    });
  }

  document.querySelectorAll('table.sortable').forEach(makeSortable);
  plots.forEach(followMouse);
  if (slider && pictures.length) startScrubber();
})();
