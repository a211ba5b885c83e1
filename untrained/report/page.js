"use strict";
// The report without this script shows every picture; with it, they can be looked into.
(() => {
  const find = (id) => document.getElementById(id);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const short = (value) =>
    Number.isFinite(value) ? String(Number(value.toPrecision(4))).replace("-", "\u2212") : "–";
  const COLOURS = { result: "--curve-1", classical: "--curve-2", reference: "--curve-3", input: "--curve-4" };

  // copying ---------------------------------------------------------------------------------

  function textOf(node) {
    if (node.tagName !== "DL") return node.textContent;
    return [...node.children].map((row) => [...row.children].map((x) => x.textContent).join(": ")).join("\n");
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea"); // browsers without a clipboard for files
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  for (const button of document.querySelectorAll("button.copy")) {
    const label = button.textContent;
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      button.textContent = (await copy(textOf(find(button.dataset.copy)))) ? "Copied" : "Select and copy by hand";
      setTimeout(() => (button.textContent = label), 2000);
    });
  }

  // curves ----------------------------------------------------------------------------------

  for (const figure of document.querySelectorAll("[data-hover]")) {
    const data = JSON.parse(figure.dataset.hover);
    const frame = figure.querySelector(".frame");
    const line = document.createElement("div");
    const told = document.createElement("output");
    line.className = "cursor";
    told.className = "told";
    line.hidden = true;
    told.textContent = "Point at the curve, or use the arrow keys.";
    frame.append(line);
    frame.after(told);
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `Values of the curves of ${figure.querySelector("strong").textContent}; arrow keys move`);
    let at = -1;
    const show = (index) => {
      at = clamp(index, 0, data.rows.length - 1);
      const row = data.rows[at];
      const share = data.left + ((data.right - data.left) * (row - data.first)) / (data.last - data.first);
      line.hidden = false;
      line.style.left = `${100 * share}%`;
      const values = data.lines
        .filter(([, numbers]) => numbers[at] !== null)
        .map(([label, numbers]) => `${label} ${short(numbers[at])}${data.unit ? ` ${data.unit}` : ""}`);
      const mark = row === data.chosen ? " (chosen)" : "";
      told.textContent = `Step ${row}${mark}: ${values.join(", ") || "no value"}`;
    };
    const nearest = (event) => {
      const box = frame.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width - data.left) / (data.right - data.left);
      const row = data.first + share * (data.last - data.first);
      let best = 0;
      data.rows.forEach((other, i) => {
        if (Math.abs(other - row) < Math.abs(data.rows[best] - row)) best = i;
      });
      show(best);
    };
    frame.addEventListener("pointermove", nearest);
    frame.addEventListener("pointerdown", nearest);
    frame.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (step) show(at < 0 ? Math.max(0, data.rows.indexOf(data.chosen)) : at + step);
      else if (event.key === "Home") show(0);
      else if (event.key === "End") show(data.rows.length - 1);
      else return;
      event.preventDefault();
    });
  }

  // images ----------------------------------------------------------------------------------

  const figures = [...document.querySelectorAll('figure[data-kind="view"], figure[data-kind="map"]')];
  if (!find("tools") || !figures.length) return;

  function load(address) {
    return new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = failed;
      image.src = address;
    });
  }

  function pixels(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // A view's values: one number per pixel and colour, of 12 bits where they were stored.
  async function valuesOf(figure, image) {
    const low = Number(figure.dataset.low), high = Number(figure.dataset.high);
    if (!figure.dataset.values) {
      const { data, width, height } = pixels(image);
      const values = new Float32Array(3 * width * height);
      for (let i = 0, j = 0; i < data.length; i += 4)
        for (let c = 0; c < 3; c++) values[j++] = low + ((high - low) * data[i + c]) / 255;
      return { values, width, height, colours: 3 };
    }
    const { data, width, height } = pixels(await load(figure.dataset.values));
    const half = height / 2, count = width * half;
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++)
      values[i] = low + ((high - low) * (16 * data[4 * i] + data[4 * (i + count)])) / 4095;
    return { values, width, height: half, colours: 1 };
  }

  const box = { scale: 1, x: 0.5, y: 0.5 }; // zoom, and what share of the image is in the middle
  const own = { black: Number(find("tools").dataset.black), white: Number(find("tools").dataset.white) };
  const shown = { ...own };
  let row = 0.5;

  class View {
    constructor(figure, image, values) {
      this.figure = figure;
      this.key = figure.dataset.key || "";
      this.title = figure.querySelector("strong").textContent;
      this.image = image;
      Object.assign(this, values || { width: image.naturalWidth, height: image.naturalHeight });
      this.picture = image;
      if (this.values) {
        this.picture = document.createElement("canvas");
        this.picture.width = this.width;
        this.picture.height = this.height;
      }
      this.canvas = surface(image.width, image.height, this.title);
      image.after(this.canvas);
      figure.classList.add("live");
    }

    // Draw the values in the window, once for all sizes.
    develop() {
      if (!this.values) return;
      const context = this.picture.getContext("2d");
      const out = context.createImageData(this.width, this.height);
      const times = 255 / Math.max(shown.white - shown.black, 1e-12), step = this.colours === 3 ? 1 : 0;
      for (let i = 0, j = 0; i < out.data.length; i += 4, j += this.colours) {
        for (let c = 0; c < 3; c++) out.data[i + c] = (this.values[j + c * step] - shown.black) * times;
        out.data[i + 3] = 255;
      }
      context.putImageData(out, 0, 0);
    }

    draw() {
      paint(this.canvas, this.picture, this.width, this.height);
      if (this.values) mark(this.canvas);
    }

    at(x, y) {
      const column = clamp(Math.floor(x * this.width), 0, this.width - 1);
      const line = clamp(Math.floor(y * this.height), 0, this.height - 1);
      const place = this.colours * (line * this.width + column);
      let sum = 0;
      for (let c = 0; c < this.colours; c++) sum += this.values[place + c];
      return sum / this.colours;
    }
  }

  function surface(width, height, title) {
    const canvas = document.createElement("canvas");
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${title}. Plus and minus zoom, arrow keys move, 0 shows the whole image.`);
    return canvas;
  }

  function fit(canvas) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    return canvas.getContext("2d");
  }

  function paint(canvas, picture, width, height, from = 0, to = 1) {
    const context = fit(canvas), share = 1 / box.scale;
    const left = (box.x - share / 2) * width, top = (box.y - share / 2) * height;
    context.save();
    context.beginPath();
    context.rect(from * canvas.width, 0, (to - from) * canvas.width, canvas.height);
    context.clip();
    context.imageSmoothingEnabled = canvas.width / (share * width) < 1.5;
    context.drawImage(picture, left, top, share * width, share * height, 0, 0, canvas.width, canvas.height);
    context.restore();
  }

  // The row of the profile, where it is in the picture.
  function mark(canvas) {
    const y = ((row - box.y) * box.scale + 0.5) * canvas.height;
    if (y < 0 || y > canvas.height) return;
    const context = canvas.getContext("2d");
    context.fillStyle = style("--mark");
    context.fillRect(0, y - 0.75, canvas.width, 1.5);
  }

  function start(views) {
    const chosen = views.filter((view) => view.values);
    const slide = chosen.length ? surface(chosen[0].image.width, chosen[0].image.height, "Two images, divided") : null;
    const redraw = () => {
      views.forEach((view) => view.draw());
      if (slide) drawSlide();
    };
    const move = (scale, x, y) => {
      box.scale = clamp(scale, 1, 32);
      const edge = 0.5 / box.scale;
      box.x = clamp(x, edge, 1 - edge);
      box.y = clamp(y, edge, 1 - edge);
      redraw();
    };
    const whole = () => move(1, 0.5, 0.5);
    const place = (canvas, event) => {
      const area = canvas.getBoundingClientRect();
      return [
        box.x + ((event.clientX - area.left) / area.width - 0.5) / box.scale,
        box.y + ((event.clientY - area.top) / area.height - 0.5) / box.scale,
      ];
    };
    const zoomAt = (factor, x, y) => {
      const scale = clamp(box.scale * factor, 1, 32), kept = box.scale / scale;
      move(scale, x + (box.x - x) * kept, y + (box.y - y) * kept);
    };

    function listen(canvas) {
      const fingers = new Map();
      canvas.addEventListener("pointerdown", (event) => {
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
        if (box.scale > 1) canvas.setPointerCapture(event.pointerId);
      });
      const lift = (event) => fingers.delete(event.pointerId);
      for (const name of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(name, lift);
      canvas.addEventListener("pointermove", (event) => {
        const before = fingers.get(event.pointerId);
        read(...place(canvas, event));
        if (!before) return;
        const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
        if (others.length) {
          const wide = (a) => Math.hypot(a[0] - others[0][0], a[1] - others[0][1]) || 1;
          zoomAt(wide([event.clientX, event.clientY]) / wide(before), ...place(canvas, event));
        } else {
          const size = canvas.clientWidth * box.scale, tall = canvas.clientHeight * box.scale;
          move(box.scale, box.x - (event.clientX - before[0]) / size, box.y - (event.clientY - before[1]) / tall);
        }
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      canvas.addEventListener("dblclick", (event) => zoomAt(2, ...place(canvas, event)));
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
        event.preventDefault();
        zoomAt(event.deltaY < 0 ? 1.25 : 0.8, ...place(canvas, event));
      }, { passive: false });
      canvas.addEventListener("keydown", (event) => {
        const step = 0.1 / box.scale;
        const keys = {
          "+": () => zoomAt(1.5, box.x, box.y), "=": () => zoomAt(1.5, box.x, box.y),
          "-": () => zoomAt(1 / 1.5, box.x, box.y), 0: whole,
          ArrowLeft: () => move(box.scale, box.x - step, box.y), ArrowRight: () => move(box.scale, box.x + step, box.y),
          ArrowUp: () => move(box.scale, box.x, box.y - step), ArrowDown: () => move(box.scale, box.x, box.y + step),
        };
        if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        keys[event.key]();
      });
    }

    function read(x, y) {
      if (!chosen.length || x < 0 || x >= 1 || y < 0 || y >= 1) return;
      const first = chosen[0];
      const told = chosen.map((view) => `${view.key} ${short(view.at(x, y))}`);
      find("readout").textContent = `Column ${Math.floor(x * first.width)}, row ${Math.floor(y * first.height)}: ${told.join(", ")}`;
    }

    // window and level
    const [low, high] = chosen.length
      ? chosen.reduce(([a, b], view) => {
          let least = a, most = b;
          for (const value of view.values) {
            if (value < least) least = value;
            if (value > most) most = value;
          }
          return [least, most];
        }, [own.black, own.white])
      : [0, 1];
    const ends = { black: find("black"), white: find("white") };
    const position = (value) => Math.round((1000 * (value - low)) / (high - low || 1));
    function setWindow(black, white) {
      Object.assign(shown, { black, white });
      for (const [name, input] of Object.entries(ends)) {
        input.value = position(shown[name]);
        const text = short(shown[name]);
        input.setAttribute("aria-valuetext", text);
        input.nextElementSibling.textContent = text;
      }
      chosen.forEach((view) => view.develop());
      redraw();
    }
    const value = (input) => low + ((high - low) * Number(input.value)) / 1000;
    const least = (high - low) / 1000;
    ends.black.addEventListener("input", () => setWindow(Math.min(value(ends.black), shown.white - least), shown.white));
    ends.white.addEventListener("input", () => setWindow(shown.black, Math.max(value(ends.white), shown.black + least)));
    find("window").addEventListener("click", () => setWindow(own.black, own.white));
    for (const button of document.querySelectorAll("[data-zoom]")) {
      const factor = Number(button.dataset.zoom);
      button.addEventListener("click", () => (factor ? zoomAt(factor, box.x, box.y) : whole()));
    }

    // two images with a divider
    const left = find("left"), right = find("right"), divider = find("divider");
    function drawSlide() {
      const share = Number(divider.value) / 1000;
      const [a, b] = [chosen[Number(left.value)], chosen[Number(right.value)]];
      paint(slide, a.picture, a.width, a.height, 0, 1);
      paint(slide, b.picture, b.width, b.height, share, 1);
      const context = slide.getContext("2d"), ratio = slide.width / Math.max(slide.clientWidth, 1);
      context.fillStyle = style("--mark");
      context.fillRect(share * slide.width - ratio, 0, 2 * ratio, slide.height);
      context.font = `600 ${12 * ratio}px ${style("--sans")}`;
      for (const [text, before] of [[a.key, true], [b.key, false]]) {
        const wide = context.measureText(text).width + 12 * ratio;
        if ((before ? share : 1 - share) * slide.width < wide) continue;
        const x = before ? 0 : slide.width - wide;
        context.fillStyle = "rgba(0, 0, 0, 0.65)";
        context.fillRect(x, 0, wide, 22 * ratio);
        context.fillStyle = "#fff";
        context.fillText(text, x + 6 * ratio, 15.5 * ratio);
      }
    }
    if (slide) {
      find("slide").append(slide);
      for (const [select, wanted] of [[left, ["classical", "input"]], [right, ["result"]]]) {
        chosen.forEach((view, i) => select.add(new Option(view.title, String(i))));
        const best = wanted.map((key) => chosen.findIndex((view) => view.key === key)).find((i) => i >= 0);
        select.value = String(best === undefined ? 0 : best);
        select.addEventListener("change", drawSlide);
      }
      divider.addEventListener("input", drawSlide);
      const drag = (event) => {
        if (!event.buttons || box.scale > 1) return;
        const area = slide.getBoundingClientRect();
        divider.value = String(clamp((1000 * (event.clientX - area.left)) / area.width, 0, 1000));
        drawSlide();
      };
      slide.addEventListener("pointerdown", drag);
      slide.addEventListener("pointermove", drag);
      listen(slide);
    }

    // profile
    const line = find("row"), plot = find("profile");
    function drawProfile() {
      const context = fit(plot), ratio = plot.width / Math.max(plot.clientWidth, 1);
      const under = 18 * ratio, wide = plot.width, high = plot.height - under;
      const curves = chosen.map((view) => Float32Array.from({ length: view.width }, (_, i) => view.at((i + 0.5) / view.width, row)));
      let least = Infinity, most = -Infinity;
      for (const curve of curves) for (const value of curve) {
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
      const span = most - least || 1, height = (value) => high - 4 * ratio - ((value - least) / span) * (high - 20 * ratio);
      context.clearRect(0, 0, plot.width, plot.height);
      context.fillStyle = style("--muted");
      context.font = `${12 * ratio}px ${style("--sans")}`;
      context.fillText(short(most), 0, 11 * ratio);
      context.fillText(short(least), 0, plot.height - 4 * ratio);
      context.textAlign = "right";
      context.fillText(`column ${chosen[0].width - 1}`, wide, plot.height - 4 * ratio);
      context.textAlign = "left";
      context.lineWidth = 1.5 * ratio;
      curves.forEach((curve, k) => {
        context.strokeStyle = style(COLOURS[chosen[k].key] || "--text");
        context.beginPath();
        curve.forEach((value, i) => context[i ? "lineTo" : "moveTo"](((i + 0.5) / curve.length) * wide, height(value)));
        context.stroke();
      });
    }
    function setRow() {
      row = (Number(line.value) + 0.5) / chosen[0].height;
      line.nextElementSibling.textContent = line.value;
      drawProfile();
      redraw();
    }
    if (chosen.length) {
      line.max = String(chosen[0].height - 1);
      line.value = String(Math.floor(chosen[0].height / 2));
      line.addEventListener("input", setRow);
      for (const view of chosen) {
        const key = document.createElement("span");
        key.textContent = view.title;
        key.style.setProperty("--key", `var(${COLOURS[view.key] || "--text"})`);
        find("keys").append(key);
      }
      find("compare").hidden = false;
    }
    find("tools").hidden = false;
    if (!chosen.length) document.querySelectorAll("#tools label, #window").forEach((part) => (part.hidden = true));
    views.forEach((view) => listen(view.canvas));
    setWindow(own.black, own.white);
    if (chosen.length) setRow();
    const again = () => {
      redraw();
      if (chosen.length) drawProfile();
    };
    new ResizeObserver(again).observe(document.querySelector("main"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  }

  Promise.all(
    figures.map(async (figure) => {
      const image = figure.querySelector("img");
      await image.decode();
      return [figure, image, figure.dataset.kind === "view" ? await valuesOf(figure, image) : null];
    }),
  ).then((found) => start(found.map((parts) => new View(...parts))), () => {}); // the pictures stay
})();
