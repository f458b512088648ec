// How the search of the site weighs what it finds: as Sphinx does (searchtools.js), but of pages that mention a word alike, those
// of a job come before those of reference, which mention every word.
var Scorer = {
  score: ([page, title, anchor, description, score]) =>
    score - (["changelog", "commands", "comparison", "glossary", "model-file"].includes(page) ? 1 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
