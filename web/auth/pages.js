// What plain HTML cannot do: show a password, and read the fragment of a link. The pages work without it.
"use strict";

// A page that a browser kept may show what another person saw before signing out.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

for (const button of document.querySelectorAll("button[data-shows]")) {
  const input = document.getElementById(button.dataset.shows);
  const labels = [button.textContent, button.dataset.hide];
  button.hidden = false;
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    const isShown = input.type === "text";
    input.type = isShown ? "password" : "text";
    button.textContent = labels[isShown ? 0 : 1];
  });
  // Browsers store what is in a text field.
  input.form.addEventListener("submit", () => { input.type = "password"; });
}

// The secret of a message is after # in its link. It goes into the form, and out of the history.
const secret = document.querySelector("input[data-fragment]");
if (secret && location.hash.length > 1) {
  secret.value = location.hash.slice(1);
  // The response to a form contains no secret: the address of a form that is shown again has it. The
  // button in the header leads away from the page.
  for (const form of document.querySelectorAll("main form, footer form")) form.action += location.hash;
  history.replaceState(null, "", location.pathname + location.search);
  for (const part of document.querySelectorAll("[data-without-link]")) part.remove();
  // The focus was on what is removed.
  secret.form.querySelector("input:not([type=hidden], [hidden]), button.main").focus();
}
