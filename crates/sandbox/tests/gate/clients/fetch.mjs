const answer = await fetch("https://api.test/", {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});
console.log(await answer.text());
