// The page of a scored video: draws boxes and heat maps over it, and connects it with the curve.
"use strict";
(() => {
  const facts = mgst.data("prediction");
  const media = document.getElementById("media");
  const layer = document.getElementById("layer");
  const isVideo = media instanceof HTMLVideoElement;
  const now = document.getElementById("now");
  // Times in the page are rounded, seconds.
  const TINY = 0.002;
  const frameLength = 1 / (facts.fps || 25);

  for (const track of facts.tracks) {
    if (track.heat) track.levels = Uint8Array.from(atob(track.heat), (byte) => byte.charCodeAt(0));
  }

  // Position of the frame that is shown at a time; -1 if the face is not visible then.
  const rowAt = (track, time) => {
    let low = 0;
    let high = track.time.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (track.time[middle] <= time + TINY) low = middle + 1;
      else high = middle;
    }
    return low && time - track.time[low - 1] < 1.5 * frameLength ? low - 1 : -1;
  };

  const isOn = (name) => document.getElementById(name)?.checked ?? false;

  const drawHeat = (context, track, row) => {
    const { grid, levels } = track;
    const at = Math.min(Math.floor(row / facts.heat.step), track.squares.length - 1);
    const small = new ImageData(grid, grid);
    for (let i = 0; i < grid * grid; i++) {
      small.data.set([...facts.heat.colour, facts.heat.opacity * levels[at * grid * grid + i]], 4 * i);
    }
    const canvas = new OffscreenCanvas(grid, grid);
    canvas.getContext("2d").putImageData(small, 0, 0);
    const [x0, y0, x1, y1] = track.squares[at];
    context.drawImage(canvas, x0, y0, x1 - x0, y1 - y0);
  };

  const drawBox = (context, track, row) => {
    const unit = Math.max(1, Math.min(...facts.size) / 360);
    const [x0, y0, x1, y1] = track.boxes[row];
    context.lineWidth = 2 * unit;
    context.strokeStyle = facts.colours[Math.round(255 * track.score[row])];
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    const height = 18 * unit;
    context.font = `${13 * unit}px sans-serif`;
    const words = `${track.id}  ${track.score[row].toFixed(2)}`;
    const width = context.measureText(words).width + 8 * unit;
    const left = Math.max(0, Math.min(x0, facts.size[0] - width));
    const top = y0 - height >= 0 ? y0 - height : Math.max(y0, 0);
    context.fillStyle = track.colour;
    context.fillRect(left, top, width, height);
    context.fillStyle = "#121214";
    context.fillText(words, left + 4 * unit, top + height - 5 * unit);
  };

  const draw = (time) => {
    if (!layer) return;
    const context = layer.getContext("2d");
    context.clearRect(0, 0, layer.width, layer.height);
    const visible = facts.tracks.map((track) => [track, rowAt(track, time)]).filter(([, row]) => row >= 0);
    if (isOn("heat")) visible.forEach(([track, row]) => track.levels && drawHeat(context, track, row));
    if (isOn("boxes")) visible.forEach(([track, row]) => drawBox(context, track, row));
  };

  let shown = facts.tracks.length && !isVideo ? facts.tracks[0].time[0] : 0;
  let plot = null;
  let waiting = false;
  const moveCursor = () => {
    if (!plot || waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      Plotly.relayout(plot, { "shapes[1].x0": shown, "shapes[1].x1": shown });
    });
  };

  const show = (time) => {
    shown = time;
    draw(time);
    if (!now) return;
    const words = facts.tracks.map((track) => [track, rowAt(track, time)]).filter(([, row]) => row >= 0)
      .map(([track, row]) => `face ${track.id}: ${track.score[row].toFixed(2)}`);
    now.textContent = `At ${time.toFixed(2)} s: ${words.join(", ") || "no scored face"}.`;
    moveCursor();
  };

  // Into the middle of a frame, so that rounding does not show the frame before it.
  const seek = (time) => {
    if (isVideo) media.currentTime = Math.max(0, time - facts.began + 0.4 * frameLength);
    else show(time);
  };

  if (isVideo) {
    const follow = (time) => show(time + facts.began);
    // The first frame is shown before it is played, and needs no callback of the browser.
    const still = () => { if (media.paused) follow(media.currentTime); };
    media.addEventListener("loadeddata", still);
    media.addEventListener("seeked", still);
    if (media.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) still();
    if ("requestVideoFrameCallback" in media) {
      const next = (_, frame) => {
        follow(frame.mediaTime);
        media.requestVideoFrameCallback(next);
      };
      media.requestVideoFrameCallback(next);
    } else {
      const next = () => {
        follow(media.currentTime);
        if (!media.paused) requestAnimationFrame(next);
      };
      media.addEventListener("play", next);
    }
  }
  if (media) {
    const missing = () => { document.getElementById("missing").hidden = false; };
    media.addEventListener("error", missing);
    if (isVideo ? media.error : media.complete && !media.naturalWidth) missing();
  }
  if (!isVideo) show(shown);

  for (const name of ["boxes", "heat"]) document.getElementById(name)?.addEventListener("change", () => draw(shown));
  for (const button of document.querySelectorAll("button[data-time]")) {
    button.addEventListener("click", () => {
      seek(Number(button.dataset.time));
      media.scrollIntoView({ block: "nearest" });
    });
  }
  if (document.getElementById("curve")) {
    mgst.draw("curve").then((made) => {
      plot = made;
      plot.on("plotly_click", (event) => seek(event.points[0].x));
      moveCursor();
    });
  }
})();
