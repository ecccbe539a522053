"use strict";
// One slider for all galleries: each shows its newest grid that is not newer than the chosen round.
const slider = document.getElementById("round");
if (slider) {
  const rounds = slider.dataset.rounds.split(",").map(Number);
  const choose = () => {
    const chosen = rounds[Number(slider.value)];
    slider.parentElement.querySelector("output").value = String(chosen);
    slider.setAttribute("aria-valuetext", `round ${chosen}`);
    for (const gallery of document.querySelectorAll(".galleries .gallery")) {
      const frames = [...gallery.querySelectorAll(".frame[data-round]")];
      if (!frames.length) continue;
      const due = frames.filter((frame) => Number(frame.dataset.round) <= chosen);
      const current = due.length ? due[due.length - 1] : frames[0];
      for (const frame of frames) frame.classList.toggle("current", frame === current);
      gallery.querySelector(".of-round").textContent = current.dataset.round;
    }
  };
  slider.closest("label").hidden = false;
  slider.addEventListener("input", choose);
}
// What is wider than the window scrolls; the keyboard reaches it as long as it does.
const measure = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const each of document.querySelectorAll(".scroll")) measure.observe(each);
