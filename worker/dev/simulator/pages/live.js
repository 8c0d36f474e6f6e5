// Keeps the regions marked `data-live` up to date: looks each second whether anything arrived, and if so fetches
// this page anew and moves only the parts that differ, so that focus, selection and scrolling stay.
"use strict";

const body = document.body;
const lost = document.querySelector(".lost");
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
let version = body.dataset.version;

async function look() {
  if (document.hidden) return;
  try {
    const now = await read("/api/version");
    lost.hidden = true;
    if (now === version) return;
    const fresh = new DOMParser().parseFromString(await read(body.dataset.own), "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(region.id);
      if (next?.tagName === region.tagName) update(region, next);
      else location.reload(); // the first arrival turns a blank page into a list
    }
    version = now;
  } catch {
    lost.hidden = false;
  }
}

async function read(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  return answer.text();
}

function update(region, next) {
  const focused = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const known = new Map([...region.children].map((child) => [child.outerHTML, child]));
  const wanted = [...next.children].map((child) => take(known, child));
  for (const child of known.values()) child.remove();
  wanted.forEach((child, at) => {
    if (region.children[at] === child) return;
    region.insertBefore(child, region.children[at] ?? null);
    if (!isCalm.matches) child.animate([{ opacity: 0.2 }, { opacity: 1 }], { duration: 350, easing: "ease-out" });
  });
  if (focused && !region.contains(document.activeElement)) {
    region.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

function take(known, child) {
  const same = known.get(child.outerHTML);
  known.delete(child.outerHTML);
  return same ?? document.importNode(child, true);
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, 1000);
}

keepLooking();
document.querySelector('.list [aria-current="true"]')?.scrollIntoView({ block: "nearest" });
